"""Sections of a page: a heading, and sentences that state facts about its subject."""

import collections, re
import documents, facts, wordnet
from documents import PARA, STOP, TOPICS, cap

MOST = 3  # sentences in an answer
COMMON = STOP | set(
    "what which when where who whom why how long much many often can may must should need does did"
    " have has am be it its there any some from at by until me want help please now happens if"
    " our we us one no yes not and or".split()
)

Section = collections.namedtuple('Section', 'heading sentences facts style subject')


def stem(word):
    word = word.lower().strip('.,;:?!"\'()`')
    for end in ('ing', 'ied', 'ies', 'ed', 'es', 's', 'e', 'y'):
        if word.endswith(end) and len(word) - len(end) > 2:
            return word[: -len(end)]
    return word


def stems(text):
    return {stem(w) for w in re.findall(r"[\w'-]+", text) if w.lower() not in COMMON}


def subject(r, theme):
    x = r.random()
    if theme and x < 0.15:
        return theme
    n = facts.noun(r, documents)
    if theme and x < 0.3:
        return f'{theme} {n}'
    if x < 0.42:
        return f'{r.choice(wordnet.usual("adj"))} {n}'
    if x < 0.5:
        return r.choice(TOPICS)
    if x < 0.58:
        return f'{facts.noun(r, documents)} {n}'
    return n


def filler(r):
    """a sentence that no template made"""
    x = r.random()
    if x < 0.35:
        return cap(r.choice(wordnet.examples())).rstrip('.!?') + '.'
    if x < 0.6:
        return documents.sentence(r)
    if x < 0.8:
        return cap(r.choice(wordnet.glosses())[1]) + '.'
    return documents.first_sentence(r.choice(PARA))


def heading(r, s, own, theme):
    x = r.random()
    if x < 0.3:
        return cap(s) if r.random() < 0.5 else cap(facts.plural(s))
    if x < 0.5 and own:
        return cap(r.choice(r.choice(own).questions[:2]))
    if x < 0.62 and own:
        return cap(r.choice(own).questions[2])
    if x < 0.8:
        f = r.choice(
            [
                'About the {}',
                'The {}',
                'Your {}',
                'Using the {}',
                'Rules for {}',
                '{} and more',
                'No {}?',
                'How the {} works',
                'Before the {}',
                'After the {}',
                'If the {} fails',
                'The {} in {}',
                'Care of the {}',
                '{} and {}',
                'Working with the {}',
                'My {}',
                'New {}',
                'Lost your {}?',
                'What about the {}?',
                '{} for {}',
            ]
        )
        return cap(f.format(s, r.choice([facts.noun(r, documents), r.choice(facts.PEOPLE)])))
    return documents.heading(r, theme)


def gloss_section(r):
    words, gloss, examples = r.choice(wordnet.glosses())
    term = r.choice(words)
    sentences = [cap(gloss) + '.'] + [cap(e).rstrip('.') + '.' for e in examples[: r.randint(0, 2)]]
    others = [w for w in words if w != term]
    asked = [
        f.format(r.choice(others) if others and r.random() < 0.4 else term)
        for f in r.sample(
            [
                'What is {}?',
                'What does {} mean?',
                'Tell me about {}',
                '{}',
                'Explain {}',
                'Define {}',
                'I want to know about {}',
                'What is meant by {}?',
            ],
            2,
        )
    ]
    own = facts.Fact(
        'gloss',
        term,
        sentences[0],
        asked + [' '.join(w for w in gloss.split() if w.lower() not in COMMON)],
    )
    return Section(cap(term), sentences, [own], 'prose', term)


def _titles():
    """(brief heading, what people say who need what stands below it), of titles.txt"""
    found = []
    for line in open(facts.HERE + 'titles.txt'):
        if line.startswith('  ? '):
            found[-1][1].append(line[4:].rstrip())
        else:
            found.append((line.rstrip(), []))
    return found


TITLES = _titles()


def titled_section(r):
    """a short section whose heading says briefly what a question asks at length"""
    s = facts.noun(r, documents) if r.random() < 0.7 else r.choice(documents.DEVICES)
    title, asked = r.choice(TITLES)
    adjective, verb = r.choice(wordnet.usual('adj')), r.choice(facts.VERBS)
    fill = lambda text: text.format(
        s=s, ss=facts.plural(s), adj=adjective, v=verb, ving=facts.gerund(verb)
    )
    name = documents.name(r)
    body = r.choice(
        [
            lambda: f'Ask {name} in the {r.choice(facts.PLACES)}.',
            lambda: f'Call {name}.',
            lambda: f'Call the {facts.noun(r, documents)}.',
            lambda: cap(documents.clause(r)) + '.',
            lambda: cap(documents.clause(r)) + '. ' + cap(documents.clause(r)) + '.',
            lambda: facts.fact(r, documents, s).text,
        ]
    )()
    questions = [fill(q) for q in r.sample(asked, 2)] + [fill(title).lower()]
    return Section(cap(fill(title)), [body], [facts.Fact('title', s, body, questions)], 'prose', s)


def section(r, theme, longest):
    x = r.random()
    if x < 0.1:
        return gloss_section(r)
    if x < 0.3:
        return titled_section(r)
    s = subject(r, theme)
    n = min(longest, r.choice([1, 1, 2, 2, 2, 3, 3, 3, 4, 5, 6, 8]))
    named = r.random() < 0.75  # the heading names the subject
    sentences, own, kinds = [], [], list(facts.NAMES)
    for i in range(n):
        if r.random() < (0.12 if n > 1 else 0.04):
            sentences.append(filler(r))
            continue
        other = i > 0 and r.random() < 0.35
        about = subject(r, None) if other else s
        pronoun = not other and (i > 0 or named) and r.random() < 0.3
        f = facts.fact(r, documents, about, pronoun, kinds)
        if not other:
            kinds.remove(f.kind)
        sentences.append(f.text)
        own.append(f)
    h = heading(r, s, [f for f in own if f.subject == s] if named else [], theme)
    if any(f.text.startswith(('It ', 'They ')) for f in own) and not stems(s) & stems(h):
        h = cap(s)
    style = 'prose' if r.random() < 0.8 or n == 1 else r.choice(['- ', '* ', '1', 'lines'])
    return Section(h, sentences, own, style, s)


def text(section):
    if section.style == 'prose':
        return ' '.join(section.sentences)
    if section.style == 'lines':
        return '\n'.join(section.sentences)
    return '\n'.join(
        (f'{i + 1}. ' if section.style == '1' else section.style) + s
        for i, s in enumerate(section.sentences)
    )


def answer(section, fact=None):
    if len(section.sentences) <= MOST:
        return text(section)
    if fact is not None:
        return fact.text
    part = section._replace(sentences=section.sentences[:MOST])
    return text(part)
