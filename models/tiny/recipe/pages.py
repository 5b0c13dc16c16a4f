"""Pages of facts, and conversations about them: `chat` draws one.

A page has sections about subjects; each section states a few facts. A question asks for one fact,
or for a section by its heading. What is answered is the section's text, or, where that is longer
than three sentences, the sentence that states the fact. A question that the page does not answer
is declined, although it may share all but its subject, or only its subject, with the page.
"""

import re
import documents, facts, sections, wordnet
from documents import ASK, DEVICES, FILL, IDK, LEAD, TALK, TOPICS, WHO, cap
from sections import COMMON, answer, stems, text


def other_words(r, q, share):
    """some words exchanged for synonyms"""
    return re.sub(
        r'\b[a-z]{3,}\b',
        lambda m: (
            r.choice(wordnet.synonyms(m[0]))
            if r.random() < share and m[0] not in COMMON and wordnet.synonyms(m[0])
            else m[0]
        ),
        q,
    )


def rough(r, q):
    """as people type"""
    x = r.random()
    if x < 0.55:
        return q
    if x < 0.65:
        return q.lower().rstrip('?.') + r.choice(['', '?', '??', ' please'])
    if x < 0.75:
        return (
            r.choice(
                LEAD[4:10] + ['Sorry, ', 'Quick question: ', 'One more thing: ', 'Good morning, ']
            )
            + q[:1].lower()
            + q[1:]
        )
    if x < 0.82:
        w = q.split()
        i = r.randrange(len(w))
        w[i] = documents.bend(r, w[i])
        return ' '.join(w)
    if x < 0.9:
        w = [w for w in q.rstrip('?').split() if w.lower() not in COMMON or r.random() < 0.5]
        return ' '.join(w or [q]) + r.choice(['', '?'])
    if x < 0.95:
        w = q.rstrip('?.').split()
        for _ in range(r.randint(1, 2)):
            w.insert(r.randrange(len(w) + 1), r.choice(FILL))
        return ' '.join(w) + r.choice(['', '?'])
    w = q.rstrip('?.').split()
    i = r.randrange(len(w))
    return ' '.join(w[i:] + w[:i]) + r.choice(['', '?', ', right?'])


def from_text(r, sentence):
    """a question of a sentence's own words"""
    own = [w.strip('.,;:?!"()`') for w in sentence.split()]
    own = [w for w in own if w and w.lower() not in COMMON and not w.isdigit()]
    if len(own) < 2:
        return None
    keep = sorted(r.sample(range(len(own)), min(len(own), r.randint(2, 5))))
    w = [own[i] for i in keep]
    for i in range(len(w) - 1, 0, -1):
        if r.random() < 0.4:
            w.insert(i, r.choice(FILL))
    lead = r.choice(
        [
            'What about ',
            'How ',
            'When ',
            'Who ',
            'Which ',
            'Why ',
            'Is ',
            'Are ',
            'Can I ',
            'What does ',
            'Where ',
            'Does ',
            'How many ',
            'How much ',
            'What is ',
            '',
        ]
    )
    return cap(lead + ' '.join(w)) + r.choice(['?', '?', ''])


class Page:
    """sections of different subjects, and what can be asked about them"""

    def __init__(self, r, most, longest, theme):
        self.r, self.theme, self.sections = r, theme, []
        taken = set()
        for _ in range(most):
            s = sections.section(r, theme, longest)
            key = stems(s.subject)
            if not key or (key <= taken and s.subject != theme) or len(s.heading) > 70:
                continue
            taken |= key
            self.sections.append(s)
        if not self.sections:
            self.sections.append(sections.gloss_section(r))
        self.words = [stems(s.heading + ' ' + ' '.join(s.sentences)) for s in self.sections]
        self.all = set().union(*self.words)

    def fits(self, i, q, f):
        """whether section i is the one that answers q"""
        own = stems(q)
        hits = [len(own & w) for w in self.words]
        if not hits[i]:
            return False
        rivals = [j for j in range(len(hits)) if j != i and hits[j] >= hits[i]]
        if not rivals or f is None:
            return not rivals
        about = stems(f.subject)
        # A section whose heading has the subject, but which says something else about it.
        return (
            about <= self.words[i]
            and not about <= stems(self.sections[i].heading)
            and all(
                hits[j] == hits[i]
                and about <= stems(self.sections[j].heading)
                and all(g.kind != f.kind for g in self.sections[j].facts)
                for j in rivals
            )
        )

    def exchange(self, i=None):
        """a question and its answer"""
        r = self.r
        for _ in range(6):
            j = r.randrange(len(self.sections)) if i is None else i
            s = self.sections[j]
            x = r.random()
            if x < 0.68 and s.facts:
                f = r.choice(s.facts)
                q = r.choice(f.questions[:2]) if r.random() < 0.85 else f.questions[2]
            elif x < 0.78:
                k = r.randrange(len(s.sentences))
                f = facts.Fact('text', s.subject, s.sentences[k], ())
                q = from_text(r, s.sentences[k])
            else:
                f, q = None, documents.question(r, s.heading)
            if q is None or not self.fits(j, q, f):
                continue
            if f is not None:
                q = rough(r, q)
            return other_words(r, q, r.choice([0, 0, 0.15, 0.4])), answer(s, f)
        return None

    def absent(self):
        """a question that nothing here answers"""
        r = self.r
        for _ in range(12):
            if r.random() < 0.35:
                s = r.choice(self.sections)
                have = {f.kind for t in self.sections for f in t.facts}
                kinds = [k for k in facts.NAMES if k not in have]
                f = facts.fact(r, documents, s.subject, False, kinds)
                if s.subject == self.theme or not s.facts or s.facts[0].kind == 'gloss':
                    continue
                q = r.choice(f.questions)
                # All but the subject must be new here.
                if (stems(q) - stems(s.subject)) & self.all:
                    continue
                if f.kind in ('definition', 'trouble', 'effect', 'reason'):
                    continue
            else:
                other = sections.section(r, self.theme if r.random() < 0.5 else None, 3)
                if not other.facts:
                    continue
                f = r.choice(other.facts)
                key = stems(f.subject) - stems(self.theme or '')
                if not key or key & self.all:
                    continue
                q = (
                    r.choice(f.questions)
                    if r.random() < 0.8
                    else documents.question(r, other.heading)
                )
                if not (stems(q) - self.all):
                    continue
            return rough(r, q)
        return None

    def layout(self):
        r, own = self.r, self.sections
        x, title = r.random(), None
        if r.random() < 0.75:
            title = r.choice(
                [
                    documents.heading(r, self.theme),
                    (self.theme or r.choice(DEVICES)).title()
                    + ' '
                    + r.choice(
                        [
                            'Support',
                            'Manual',
                            'Handbook',
                            'FAQ',
                            'Guide',
                            'Policy',
                            'Rules',
                            'Notes',
                        ]
                    ),
                    f'{documents.name(r)}: {r.choice(WORKS)}',
                    r.choice(TOPICS).title(),
                    f'Handbook of the {documents.name(r)}',
                ]
            )
        if len(own) == 1 and x < 0.25:
            return text(own[0])
        if x < 0.82:
            level = r.choice([2, 2, 2, 3])
            parts = [f'# {title}'] if title else []
            if level == 3 and title:
                parts.append(f'## {cap(r.choice(TOPICS))}')
            mark = '#' * (level if title else r.choice([1, 2]))
            gap = r.choice(['\n', '\n\n'])
            return '\n\n'.join(parts + [f'{mark} {s.heading}{gap}{text(s)}' for s in own])
        if x < 0.92:
            return (f'{title}\n\n' if title else '') + '\n'.join(
                f'{s.heading}: {text(s)}' for s in own
            )
        return '\n\n'.join(f'{s.heading}\n{text(s)}' for s in own)


WORKS = ['user manual', 'questions and answers', 'rules', 'changelog', 'guide']


def chat(r):
    """a conversation about a page: [(role, text)]"""
    size = r.random()
    most = 1 if size < 0.28 else r.randint(2, 4) if size < 0.55 else r.randint(5, 12)
    longest = 8 if most < 4 else 4 if most < 8 else 2
    theme = (
        (r.choice(DEVICES) if r.random() < 0.4 else facts.noun(r, documents))
        if r.random() < 0.7
        else None
    )
    page = Page(r, most, longest, theme)
    document, change, role = page.layout(), lambda a: a, ''
    if r.random() < 0.13:
        rules, change, role = documents.behaviour(r)
        document = f'{rules}\n\n{document}' if r.random() < 0.6 else f'{document}\n\n{rules}'
    turns = [('system', document)]
    order = list(range(len(page.sections)))
    r.shuffle(order)
    for k in range(r.randint(3, 5) if most < 5 else r.randint(4, 9)):
        x = r.random()
        if role and x < 0.12:
            turns += [('user', r.choice(WHO)), ('assistant', change(f'I am {role}.'))]
        elif x < 0.015:
            q, a = r.choice(TALK)
            turns += [('user', q), ('assistant', change(a))]
        elif x < 0.2:
            q = page.absent()
            if q:
                turns += [('user', q), ('assistant', change(IDK))]
        elif x < 0.27:
            s = r.choice(page.sections)
            q = (
                r.choice(r.choice(s.facts).questions[:2])
                if s.facts
                else documents.question(r, s.heading)
            )
            turns += [('user', r.choice(ASK)), ('assistant', q)]
        else:
            found = page.exchange(order[k % len(order)])
            if found:
                turns += [('user', found[0]), ('assistant', change(found[1]))]
    return turns if len(turns) > 1 else documents.sample(r)


def worked(r):
    """questions with the text that answers them before them, each but the last an example"""
    turns = []
    for _ in range(r.randint(1, 3)):
        page = Page(r, 1, 4, None)
        found = page.exchange()
        if found:
            turns += [
                ('user', text(page.sections[0]) + '\n\nQuestion: ' + found[0]),
                ('assistant', found[1]),
            ]
    page = Page(r, 1, 5, None)
    found = page.exchange() if r.random() < 0.8 else (page.absent(), IDK)
    if found and found[0]:
        turns += [('user', page.layout() + '\n\nQuestion: ' + found[0]), ('assistant', found[1])]
    return turns if turns else chat(r)


def nothing(r):
    """questions without a document: nothing is known"""
    turns = []
    for _ in range(r.randint(1, 2)):
        page = Page(r, 1, 3, None)
        found = page.exchange()
        if found and r.random() < 0.9:
            turns += [('user', found[0]), ('assistant', IDK)]
        else:
            q, a = r.choice(TALK)
            turns += [('user', q), ('assistant', a)]
    return turns


def draw(r):
    x = r.random()
    return nothing(r) if x < 0.05 else worked(r) if x < 0.1 else chat(r)


if __name__ == '__main__':
    documents.show(draw, 6)
