//! Runs the CUDA kernels of bake on the processor, so that their arithmetic is tested on any
//! machine.
//!
//! The source of `bake-runtime/kernels` is compiled as C++ (`emulator.h`). Every thread of a
//! cluster of blocks is a fiber. One that waits, at a barrier or for its warp, gives way; among
//! those that can go on the one that comes first in the launch's [`Order`] does, as far as it can.
//! So warps run apart as far as the barriers let them, and a barrier that is missing gives wrong
//! numbers in some order.
//!
//! What is not modelled: races within a warp, memory that is not shared or global, tensor cores,
//! and time.
//!
//! ```
//! let (product, weights, mut gradient) = ([1f32, 2.0, 3.0], [2f32], [f32::NAN; 3]);
//! let (product, weights) = (product.as_ptr() as u64, weights.as_ptr() as u64);
//! let args =
//!     [product, weights, gradient.as_mut_ptr() as u64, 1, 3, u64::from(0.5f32.to_bits())];
//! let launch = bake_emulator::EmulatedLaunch { kernel: "loss_finish_f32", ..Default::default() };
//! // SAFETY: these are the kernel's arguments: one row of three numbers, and a factor.
//! unsafe { bake_emulator::launch(&launch, &args) }?;
//! assert_eq!(gradient, [1.0, 2.0, 3.0]);
//! # Ok::<(), String>(())
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BinaryHeap;
use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

/// Bytes of a fiber's stack.
const STACK_BYTES: usize = 64 << 10;

const WARP: usize = 32;

/// What shared memory contains before a block begins: NaN in every type.
const POISON: u64 = u64::MAX;

/// Which of the threads that can run goes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// That with the lowest number.
    #[default]
    Forward,
    /// That with the highest number.
    Backward,
    /// An order that this number shuffles.
    Stirred(u64),
}

impl Order {
    fn priority(self, thread: usize) -> u64 {
        match self {
            Self::Forward => u64::MAX - thread as u64,
            Self::Backward => thread as u64,
            // SplitMix64 (Steele et al. 2014).
            Self::Stirred(seed) => {
                let z = (seed ^ thread as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                z ^ (z >> 31)
            }
        }
    }
}

/// A launch of a kernel.
#[derive(Clone, Debug)]
pub struct EmulatedLaunch<'a> {
    /// The kernel's name.
    pub kernel: &'a str,
    /// Blocks.
    pub grid: usize,
    /// Threads of a block; a multiple of 32.
    pub block: usize,
    /// Blocks of a cluster, which must divide the grid.
    pub cluster: usize,
    /// Shared memory of a block.
    pub shared_bytes: usize,
    /// The order of the threads.
    pub order: Order,
}

impl Default for EmulatedLaunch<'_> {
    fn default() -> Self {
        Self {
            kernel: "",
            grid: 1,
            block: WARP,
            cluster: 1,
            shared_bytes: 0,
            order: Order::Forward,
        }
    }
}

/// Laid out as in `emulator.h`.
#[repr(C)]
struct Thread {
    thread: u32,
    block: u32,
    block_dim: u32,
    grid_dim: u32,
    rank: u32,
    cluster: u32,
    turn: u32,
    reserved: u32,
    exchange: *mut u32,
    shared: *mut *mut u8,
}

type Kernel = unsafe extern "C" fn(*mut *mut c_void);

unsafe extern "C" {
    fn emulator_find(name: *const c_char) -> Option<Kernel>;
    fn emulator_enter(thread: *mut Thread);
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Warp,
    Block,
    Cluster,
}

thread_local! {
    static YIELDER: Cell<*const Yielder<(), Wait>> = const { Cell::new(ptr::null()) };
    static STACKS: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
}

/// Called by a kernel's thread.
#[unsafe(no_mangle)]
extern "C" fn emulator_wait(what: c_int) {
    let wait = match what {
        0 => Wait::Warp,
        1 => Wait::Block,
        _ => Wait::Cluster,
    };
    // SAFETY: kernels run in fibers only, which set their yielder before they go on and outlive
    // this call.
    unsafe { &*YIELDER.get() }.suspend(wait);
}

/// Runs a kernel to its end.
///
/// # Errors
/// When there is no such kernel, the shape of the launch is not possible, or threads wait for
/// others that never reach the barrier.
///
/// # Safety
/// The arguments must be those of the kernel, in their order: pointers to memory that is large
/// enough, and the bits of numbers.
pub unsafe fn launch(launch: &EmulatedLaunch<'_>, args: &[u64]) -> Result<(), String> {
    let &EmulatedLaunch { kernel, grid, block, cluster, .. } = launch;
    if block == 0 || !block.is_multiple_of(WARP) || cluster == 0 || !grid.is_multiple_of(cluster) {
        return Err(format!(
            "{kernel} cannot be launched with {grid} blocks of {block} threads in clusters of \
             {cluster}"
        ));
    }
    let name = CString::new(kernel).map_err(|_| format!("{kernel:?} is not a name"))?;
    // SAFETY: the name is a string of C.
    let function = unsafe { emulator_find(name.as_ptr()) }
        .ok_or_else(|| format!("there is no kernel {kernel}"))?;
    for first in (0..grid).step_by(cluster) {
        run_cluster(launch, function, first, args)?;
    }
    Ok(())
}

/// How many threads have reached each barrier.
struct Come {
    warps: Vec<usize>,
    blocks: Vec<usize>,
    cluster: usize,
}

impl Come {
    /// The count of those with which a thread meets, and how many they are.
    fn to(
        &mut self,
        wait: Wait,
        thread: usize,
        block: usize,
        cluster: usize,
    ) -> (&mut usize, usize) {
        match wait {
            Wait::Warp => (&mut self.warps[thread / WARP], WARP),
            Wait::Block => (&mut self.blocks[thread / block], block),
            Wait::Cluster => (&mut self.cluster, block * cluster),
        }
    }
}

type Fiber = Coroutine<(), Wait, (), DefaultStack>;

fn run_cluster(
    launch: &EmulatedLaunch<'_>,
    function: Kernel,
    first: usize,
    args: &[u64],
) -> Result<(), String> {
    let &EmulatedLaunch { kernel, grid, block, cluster, shared_bytes, order } = launch;
    let mut memory: Vec<Vec<u128>> =
        vec![
            vec![u128::from(POISON) << 64 | u128::from(POISON); shared_bytes.div_ceil(16)];
            cluster
        ];
    let mut shared: Vec<*mut u8> =
        memory.iter_mut().map(|block| block.as_mut_ptr().cast()).collect();
    let mut exchange = vec![0u32; cluster * block * 2];
    // Pointers that all threads use are made once, from the whole: a new borrow would end theirs.
    let exchange = exchange.as_mut_ptr();
    let mut threads: Vec<Thread> = (0..cluster * block)
        .map(|i| Thread {
            thread: (i % block) as u32,
            block: (first + i / block) as u32,
            block_dim: block as u32,
            grid_dim: grid as u32,
            rank: (i / block) as u32,
            cluster: cluster as u32,
            turn: 0,
            reserved: 0,
            exchange: exchange.wrapping_add(i / WARP * 2 * WARP),
            shared: shared.as_mut_ptr(),
        })
        .collect();
    let mut values = args.to_vec();
    let values = values.as_mut_ptr();
    let pointers: Vec<*mut c_void> =
        (0..args.len()).map(|i| values.wrapping_add(i).cast()).collect();
    let mut fibers: Vec<Option<Fiber>> = (0..threads.len())
        .map(|_| {
            let stack = STACKS.with_borrow_mut(Vec::pop);
            let stack = stack
                .map_or_else(|| DefaultStack::new(STACK_BYTES), Ok)
                .map_err(|e| format!("no stack for a thread: {e}"))?;
            let mut pointers = pointers.clone();
            Ok(Some(Coroutine::with_stack(stack, move |yielder, ()| {
                YIELDER.set(yielder);
                // SAFETY: the caller of `launch` answers for the arguments.
                unsafe { function(pointers.as_mut_ptr()) };
            })))
        })
        .collect::<Result<_, String>>()?;

    let all = threads.as_mut_ptr();
    let mut yielders: Vec<*const Yielder<(), Wait>> = vec![ptr::null(); threads.len()];
    let mut ready: BinaryHeap<(u64, usize)> =
        (0..threads.len()).map(|i| (order.priority(i), i)).collect();
    let mut waiting: Vec<Option<Wait>> = vec![None; threads.len()];
    let mut come =
        Come { warps: vec![0; threads.len() / WARP], blocks: vec![0; cluster], cluster: 0 };
    let mut done = 0;
    while let Some((_, i)) = ready.pop() {
        let Some(fiber) = &mut fibers[i] else { continue };
        // SAFETY: the thread lives as long as its fiber.
        unsafe { emulator_enter(all.wrapping_add(i)) };
        YIELDER.set(yielders[i]);
        match fiber.resume(()) {
            CoroutineResult::Return(()) => {
                done += 1;
                if let Some(fiber) = fibers[i].take() {
                    STACKS.with_borrow_mut(|stacks| stacks.push(fiber.into_stack()));
                }
            }
            CoroutineResult::Yield(wait) => {
                yielders[i] = YIELDER.get();
                waiting[i] = Some(wait);
                let (count, size) = come.to(wait, i, block, cluster);
                *count += 1;
                if *count == size {
                    *count = 0;
                    let group = i / size * size..(i / size + 1) * size;
                    waiting[group.clone()].fill(None);
                    ready.extend(group.map(|member| (order.priority(member), member)));
                }
            }
        }
    }
    if done == threads.len() {
        return Ok(());
    }
    let stuck = waiting.iter().position(Option::is_some).unwrap_or_default();
    let all = threads.len();
    // Nothing on their stacks has to be dropped.
    for fiber in fibers.iter_mut().flatten() {
        // SAFETY: kernels own no memory.
        unsafe { fiber.force_reset() };
    }
    Err(format!(
        "{kernel}: thread {stuck} of {all} waits at a {:?} barrier that others do not come to",
        waiting[stuck]
    ))
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    const ORDERS: [Order; 4] =
        [Order::Forward, Order::Backward, Order::Stirred(1), Order::Stirred(2)];

    fn run(kernel: &str, grid: usize, cluster: usize, order: Order) -> Result<Vec<i32>, String> {
        let x: Vec<i32> = (0..128 * grid as i32).collect();
        let mut y = vec![-1; x.len()];
        let launch =
            EmulatedLaunch { kernel, grid, block: 128, cluster, shared_bytes: 1024, order };
        // SAFETY: both have a number for each thread.
        unsafe { super::launch(&launch, &[x.as_ptr() as u64, y.as_mut_ptr() as u64]) }?;
        Ok(y)
    }

    #[test]
    fn barriers_hold_in_every_order_and_a_missing_one_shows() {
        let turned: Vec<i32> = (0..384).map(|i| i / 128 * 128 + 127 - i % 128).collect();
        for order in ORDERS {
            assert_eq!(run("check_turn_around", 3, 1, order).unwrap(), turned);
        }
        assert!(
            ORDERS
                .iter()
                .all(|&order| run("check_missing_barrier", 3, 1, order).unwrap() != turned)
        );
    }

    #[test]
    fn a_barrier_that_not_all_reach_is_an_error() {
        for order in ORDERS {
            let error = run("check_lonely", 1, 1, order).unwrap_err();
            assert!(error.contains("check_lonely") && error.contains("Block"), "{error}");
        }
    }

    #[test]
    fn clusters_see_each_others_memory() {
        for order in ORDERS {
            let y = run("check_cluster", 8, 4, order).unwrap();
            for (i, y) in y.into_iter().enumerate() {
                let first = i as i32 / 512 * 512;
                let sum: i32 = (first..first + 512).sum();
                assert_eq!(y, sum * 100 + (i as i32 / 128) % 4);
            }
        }
    }

    #[test]
    fn narrow_types_round_as_they_should() {
        let mut x = vec![
            0.0,
            -0.0,
            1.0,
            -1.5,
            65504.0,
            65519.9,
            65520.0,
            1e30,
            f32::INFINITY,
            6e-5,
            6.1e-5,
            6e-8,
            2.9e-8,
            3e-8,
            1e-10,
            -7.3e-6,
        ];
        x.extend((0..112).map(|i| (i as f32 - 50.0) * 0.317 * 10f32.powi(i % 7 - 3)));
        x[127] = f32::NAN;
        let mut y = vec![0f32; 256];
        let launch =
            EmulatedLaunch { kernel: "check_types", block: 128, ..EmulatedLaunch::default() };
        // SAFETY: a number in and two out for each thread.
        unsafe { super::launch(&launch, &[x.as_ptr() as u64, y.as_mut_ptr() as u64]) }.unwrap();
        for (x, y) in x.into_iter().zip(y.chunks(2)) {
            for (got, want) in
                [(y[0], bf16::from_f32(x).to_f32()), (y[1], f16::from_f32(x).to_f32())]
            {
                assert!(
                    got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(),
                    "{x}: {got} {want}"
                );
            }
        }
    }

    #[test]
    fn what_cannot_be_launched_is_refused() {
        assert!(run("check_nothing", 1, 1, Order::Forward).unwrap_err().contains("check_nothing"));
        assert!(run("check_cluster", 3, 2, Order::Forward).unwrap_err().contains("clusters of 2"));
    }
}
