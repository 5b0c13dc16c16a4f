//! The right side of a product: a weight, in panels of 32 columns.

use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use super::pack::{self, LINE, Line, TILE, WIDTH};
use super::{Bf16Unit, INNER, columns_together, parts};

/// A weight in bf16, or one that is widened to it.
pub(crate) trait Bf16Rows: Copy + Sync {
    /// Rows and columns.
    fn dims(&self) -> [usize; 2];

    /// Columns can be handed out from each multiple of this number on.
    fn together(&self) -> usize;

    /// Some columns of some rows, and how far apart the rows begin. The scratch may be used.
    fn part<'a>(
        &'a self,
        rows: Range<usize>,
        columns: Range<usize>,
        scratch: &'a mut Vec<bf16>,
    ) -> (&'a [bf16], usize);
}

/// Which side of the product the inner size is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Orientation {
    /// `x Wᵀ`.
    Transposed,
    /// `x W`.
    Plain,
}

/// The right side of a product, in panels of 32 columns.
pub(crate) trait RightSide: Sync {
    /// The inner size, and the columns.
    fn dims(&self) -> [usize; 2];

    /// Panels begin at each multiple of this many columns.
    fn together(&self) -> usize;

    /// The panels of some columns, for a part of the inner size that begins at a multiple of
    /// [`INNER`]. The scratch may be used.
    fn panels<'a>(
        &'a self,
        unit: Bf16Unit,
        inner: Range<usize>,
        columns: Range<usize>,
        scratch: &'a mut Scratch,
    ) -> &'a [Line];
}

/// What a task needs to put panels into order.
#[derive(Default)]
pub(crate) struct Scratch {
    panels: Vec<Line>,
    numbers: Vec<bf16>,
}

/// A weight that is put into order where it is multiplied.
#[derive(Clone, Copy)]
pub(crate) struct Unpacked<W> {
    w: W,
    orientation: Orientation,
}

impl<W: Bf16Rows> RightSide for Unpacked<W> {
    fn dims(&self) -> [usize; 2] {
        let [rows, columns] = self.w.dims();
        match self.orientation {
            Orientation::Transposed => [columns, rows],
            Orientation::Plain => [rows, columns],
        }
    }

    fn together(&self) -> usize {
        match self.orientation {
            Orientation::Transposed => WIDTH,
            Orientation::Plain => self.w.together().next_multiple_of(WIDTH),
        }
    }

    fn panels<'a>(
        &'a self,
        unit: Bf16Unit,
        inner: Range<usize>,
        columns: Range<usize>,
        scratch: &'a mut Scratch,
    ) -> &'a [Line] {
        let Scratch { panels, numbers } = scratch;
        panels.resize(columns.len().div_ceil(WIDTH) * panel(&inner), Line::ZERO);
        self.pack(unit, inner, columns, panels, numbers);
        panels
    }
}

/// The lines of a panel.
fn panel(inner: &Range<usize>) -> usize {
    2 * TILE * inner.len().div_ceil(LINE)
}

impl<W: Bf16Rows> Unpacked<W> {
    pub(crate) fn new(w: W, orientation: Orientation) -> Self {
        Self { w, orientation }
    }

    /// Puts columns of the right side into panels of 32: for each of the two halves of a panel, one
    /// tile for each step of 32 of the inner size.
    fn pack(
        &self,
        unit: Bf16Unit,
        inner: Range<usize>,
        columns: Range<usize>,
        panels: &mut [Line],
        numbers: &mut Vec<bf16>,
    ) {
        let steps = inner.len().div_ceil(LINE);
        match self.orientation {
            Orientation::Transposed => {
                let halves = panels.chunks_exact_mut(TILE * steps);
                for (half, tiles) in halves.enumerate() {
                    let first = (columns.start + half * TILE).min(columns.end);
                    let rows = first..(first + TILE).min(columns.end);
                    self.pack_outputs(unit, rows, inner.clone(), tiles, numbers);
                }
            }
            Orientation::Plain => self.pack_inputs(unit, columns, inner, panels, numbers),
        }
    }

    /// Half a panel of `wᵀ`: up to 16 rows of `w`.
    fn pack_outputs(
        &self,
        unit: Bf16Unit,
        rows: Range<usize>,
        inner: Range<usize>,
        tiles: &mut [Line],
        numbers: &mut Vec<bf16>,
    ) {
        let (count, size) = (rows.len(), inner.len());
        let (w, stride) = self.w.part(rows, inner, numbers);
        for (step, tile) in tiles.as_chunks_mut::<TILE>().0.iter_mut().enumerate() {
            let (first, width) = (step * LINE, LINE.min(size - step * LINE));
            if count == TILE && width == LINE {
                unit.pack_transposed(&w[first..], stride, tile);
            } else {
                let part = pack::padded(w, stride, 0..count, first..first + width);
                unit.pack_transposed(&part, LINE, tile);
            }
        }
    }

    /// Panels of `w`: some columns of all rows of the part.
    fn pack_inputs(
        &self,
        unit: Bf16Unit,
        columns: Range<usize>,
        inner: Range<usize>,
        panels: &mut [Line],
        numbers: &mut Vec<bf16>,
    ) {
        let width = columns.len();
        let steps = inner.len().div_ceil(LINE);
        for step in 0..steps {
            let (first, count) = (step * LINE, LINE.min(inner.len() - step * LINE));
            let rows = inner.start + first..inner.start + first + count;
            let (w, stride) = self.w.part(rows, columns.clone(), numbers);
            for (i, panel) in panels.chunks_exact_mut(2 * TILE * steps).enumerate() {
                let (low, high) = panel.split_at_mut(TILE * steps);
                let tiles = [low, high].map(|half| &mut half.as_chunks_mut::<TILE>().0[step]);
                let column = i * WIDTH;
                if count == LINE && column + WIDTH <= width {
                    unit.pack_plain(&w[column..], stride, tiles);
                } else {
                    let part = column..(column + WIDTH).min(width);
                    let part = pack::padded(w, stride, 0..count, part);
                    unit.pack_plain(&part, LINE, tiles);
                }
            }
        }
    }
}

/// A weight in the order that the instructions want.
#[derive(Debug)]
pub(crate) struct Packed {
    dims: [usize; 2],
    /// The panels of all columns, for each part of the inner size.
    parts: Vec<Vec<Line>>,
}

impl Packed {
    pub(crate) fn new(unit: Bf16Unit, w: impl Bf16Rows, orientation: Orientation) -> Self {
        let right = Unpacked::new(w, orientation);
        let [k, n] = right.dims();
        let pack = |inner: Range<usize>| {
            let columns = columns_together(n, inner.len(), right.together()).max(WIDTH);
            let mut panels = vec![Line::ZERO; n.div_ceil(WIDTH) * panel(&inner)];
            let group = |numbers: &mut Vec<bf16>, (group, panels): (usize, &mut [Line])| {
                let first = group * columns;
                let columns = first..(first + columns).min(n);
                right.pack(unit, inner.clone(), columns, panels, numbers);
            };
            let groups = panels.par_chunks_mut(columns / WIDTH * panel(&inner)).enumerate();
            groups.for_each_init(Vec::new, group);
            panels
        };
        Self { dims: [k, n], parts: parts(k).map(pack).collect() }
    }

    /// The memory that a matrix of these dimensions takes so, in either order.
    pub(crate) fn bytes([rows, columns]: [usize; 2]) -> usize {
        let padded = rows.next_multiple_of(WIDTH) * columns.next_multiple_of(WIDTH);
        padded * size_of::<bf16>()
    }
}

impl RightSide for &Packed {
    fn dims(&self) -> [usize; 2] {
        self.dims
    }

    fn together(&self) -> usize {
        WIDTH
    }

    fn panels<'a>(
        &'a self,
        _: Bf16Unit,
        inner: Range<usize>,
        columns: Range<usize>,
        _: &'a mut Scratch,
    ) -> &'a [Line] {
        let panel = panel(&inner);
        let first = columns.start / WIDTH;
        &self.parts[inner.start / INNER][first * panel..columns.end.div_ceil(WIDTH) * panel]
    }
}
