"""Facts: sentences with the questions that they answer.

A kind of fact is a way of stating it and a way of asking for it, each in several wordings, about a
subject that is drawn at random; facts.txt has the wordings. So a question has the subject's word
in common with its sentence, or another word for it, and says the rest in its own words.
"""

import collections, os, re
import wordnet

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), '')
NUMBERS = (
    'two three four five six seven eight nine ten eleven twelve fourteen fifteen twenty thirty'
    ' forty fifty sixty a_hundred'.split()
)
ORDER = ['first', 'second', 'third', 'last']
DAYS = 'Monday Tuesday Wednesday Thursday Friday Saturday Sunday'.split()
MONTHS = (
    'January February March April May June July August September October November December'.split()
)
PLACES = (
    'kitchen|garden|main hall|first floor|second floor|third floor|basement|attic|yard|car park|'
    'office|workshop|library|reading room|front desk|reception|gate|harbour|station|old town|'
    'north wing|drawer|cupboard|cellar|stairs|entrance|back door|shed|store room|meeting room|'
    'market square|settings menu|account page|control panel|lower deck|canteen|east tower'
).split('|')
ROLES = (
    'manager|steward|keeper|treasurer|secretary|chair|warden|nurse|engineer|librarian|caretaker|'
    'cook|captain|owner|team lead|head of sales|accountant|guide|teacher|driver|founder|editor'
).split('|')
COLOURS = 'red blue green yellow black white grey brown orange purple silver golden'.split()
MATERIALS = (
    'steel wood glass granite paper leather cotton brass clay rubber wool plastic copper slate'
    ' oak silk tin concrete'.split()
)
SYMPTOMS = [  # what is wrong, and other words for it
    ("won't turn on", "doesn't start", 'is dead', 'does not power on', "won't start"),
    ("won't charge", 'is not charging', 'does not charge', 'takes no charge'),
    ('is slow', 'runs slowly', 'is too slow', 'takes ages', 'lags'),
    ('is lost', 'is missing', 'is gone', "can't be found", 'has disappeared'),
    ('was stolen', 'got stolen', 'was taken by a thief'),
    ('is broken', 'does not work', 'is damaged', 'broke', 'has stopped working'),
    ('is late', 'is delayed', 'comes too late', 'has not come yet', 'is overdue'),
    ('leaks', 'loses water', 'drips', 'is wet'),
    ('makes a noise', 'is loud', 'rattles', 'is noisy', 'hums'),
    ('is blocked', 'is clogged', 'is stuck', 'is jammed'),
    ('is empty', 'has run out', 'is used up', 'is finished'),
    ('is full', 'has no space left', 'is out of room'),
    ('blinks', 'flashes', 'flickers', 'goes on and off'),
    ('gets hot', 'overheats', 'is too warm', 'is very hot'),
    ('is dirty', 'has stains', 'needs a clean'),
    ('is too small', 'does not fit', 'is not big enough'),
    ('was cancelled', 'is called off', 'does not take place'),
    ('is wrong', 'is incorrect', 'has a mistake', 'is not right'),
    ('does not connect', "can't connect", 'has no connection', 'is offline'),
    ('crashes', 'quits', 'hangs', 'freezes', 'stops by itself'),
]
IRREGULAR = dict(
    pair.split(':')
    for pair in (
        'hold:held send:sent write:written read:read bring:brought cut:cut reset:reset '
        'lift:lifted pay:paid'
        ' sell:sold buy:bought keep:kept build:built wear:worn'
        ' eat:eaten drink:drunk lend:lent hang:hung throw:thrown find:found draw:drawn'
        ' feed:fed grow:grown bake:baked'.split()
    )
)
VERBS = (
    'open|close|restart|reset|update|remove|clean|check|charge|connect|replace|install|delete|move|'
    'scan|print|save|send|sign|submit|read|write|cut|fill|fold|lift|lock|measure|mix|paint|pay|'
    'plant|pull|push|return|share|store|wash|weigh|wrap|hold|bring|sell|buy|keep|build|wear|eat|'
    'drink|lend|hang|throw|find|draw|feed|grow|use|rent|reserve|order|cancel|renew|test|carry|'
    'collect|water|heat|cool|empty|inspect|repair|borrow|record|publish|import|export|copy|rename|'
    'book|cook|boil|stir|dry|pack|ship|label|count|approve|register|change|extend|bake'
).split('|')
DOUBLED = {'cut', 'wrap', 'stir', 'ship', 'reset', 'scan'}
PEOPLE = (
    'children|adults|members|students|visitors|guests|employees|teachers|seniors|residents|'
    'customers|beginners|owners|tenants|volunteers|families|groups|new staff|passengers'
).split('|')


def participle(v):
    if v in IRREGULAR:
        return IRREGULAR[v]
    if v.endswith('e'):
        return v + 'd'
    if v.endswith('y') and v[-2] not in 'aeiou':
        return v[:-1] + 'ied'
    return v + (v[-1] if v in DOUBLED else '') + 'ed'


def gerund(v):
    if v.endswith('e'):
        return v[:-1] + 'ing'
    return v + (v[-1] if v in DOUBLED else '') + 'ing'


def plural(n):
    if n.endswith(('s', 'x', 'ch', 'sh')):
        return n + 'es'
    if n.endswith('y') and len(n) > 2 and n[-2] not in 'aeiou':
        return n[:-1] + 'ies'
    return n + 's'


cap = lambda s: s[:1].upper() + s[1:]
article = lambda s: ('an ' if s[:1].lower() in 'aeiou' else 'a ') + s


def noun(r, words):
    if r.random() < 0.02:  # words of the requests for questions
        return r.choice(['document', 'question', 'answer', 'page'])
    return r.choice(wordnet.usual('noun')) if r.random() < 0.6 else words.noun(r)


def _price(r):
    amount = r.choice([r.randint(1, 99), r.randint(2, 20) * 10, r.randint(100, 2000)])
    unit = r.choice(['euros', 'dollars', 'pounds', 'francs', 'cents', 'crowns'])
    return r.choice(
        [
            f'{amount} {unit}',
            f'{amount}.{r.choice([20, 50, 80, 90, 95])} {unit}',
            f'${amount}',
            f'{r.choice(NUMBERS[:-1])} {unit}',
        ]
    )


def _time(r):
    h = r.randint(1, 12)
    return r.choice(
        [
            f'{h}:{r.choice(["00", "15", "30", "45"])}',
            f'{h} am',
            f'{h} pm',
            str(r.randint(6, 23)),
            r.choice(NUMBERS[:11]),
            'noon',
            f"{h} o'clock",
        ]
    )


def _span(r):
    unit = r.choice('second minute hour day week month year'.split())
    return f'{_count(r)} {plural(unit)}'


def _count(r):
    return (
        r.choice(NUMBERS).replace('_', ' ')
        if r.random() < 0.5
        else str(
            r.choice(
                [r.randint(2, 12), r.randint(2, 99), r.randint(2, 999), r.choice([30, 60, 90])]
            )
        )
    )


def _identifier(r, words):
    a, b = words.word(r), words.word(r)
    return r.choice(
        [
            f'{a}_{b}',
            f'--{a}-{b}',
            f'{a}.toml',
            f'{a}-{b}',
            f'{a} {b}',
            f'/{a}/{b}',
            f'.{a}',
            f'{a.upper()}_{b.upper()}',
            f'{a}::{b}',
            f'{a} = {r.randint(0, 99)}',
        ]
    )


class Slots(dict):
    """What fills the braces of one fact: drawn when first asked for, the same from then on."""

    def __init__(self, r, words, subject, pronoun):
        super().__init__()
        self.r, self.words = r, words
        self['s'], self['ss'] = subject, plural(subject)
        before = r.choice(['the', 'the', 'the', 'a', 'your'])
        whole = article(subject) if before == 'a' else f'{before} {subject}'
        self['the'] = 'it' if pronoun else whole
        self['The'] = cap(self['the'])
        self['Plural'] = 'They' if pronoun else cap(self['ss'])

    def __missing__(self, key):
        r, base = self.r, key.rstrip('0123456789')
        if base in ('ved', 'ving', 'V'):
            v = self['v' + key[len(base) :]]
            value = {'ved': participle, 'ving': gerund, 'V': cap}[base](v)
        elif base == 'nn':
            value = plural(self['n' + key[len(base) :]])
        elif base == 'symptom':
            self['symptoms'] = r.choice(SYMPTOMS)
            value = self['symptoms'][0]
        elif base == 'trouble':
            self['symptom']
            value = r.choice(self['symptoms'])
            return value
        else:
            value = DRAW[base](r, self.words)
        self[key] = value
        return value


DRAW = {
    'v': lambda r, w: r.choice(VERBS),
    'n': noun,
    'adj': lambda r, w: r.choice(wordnet.usual('adj')),
    'price': lambda r, w: _price(r),
    'num': lambda r, w: _count(r),
    'time': lambda r, w: _time(r),
    'span': lambda r, w: _span(r),
    'unit': lambda r, w: r.choice('second minute hour day week month year'.split()),
    'period': lambda r, w: r.choice('day week month year night'.split()),
    'day': lambda r, w: r.choice(DAYS),
    'month': lambda r, w: r.choice(MONTHS),
    'date': lambda r, w: r.choice(
        [
            f'{r.randint(1, 30)} {r.choice(MONTHS)}',
            f'the {r.choice(ORDER)} {r.choice(DAYS)} in {r.choice(MONTHS)}',
            f'the end of {r.choice(MONTHS)}',
            f'{r.choice(MONTHS)} {r.randint(1, 30)}',
        ]
    ),
    'year': lambda r, w: str(r.randint(1600, 2040)),
    'place': lambda r, w: r.choice(PLACES),
    'name': lambda r, w: w.name(r),
    'role': lambda r, w: r.choice(ROLES),
    'colour': lambda r, w: r.choice(COLOURS),
    'material': lambda r, w: r.choice(MATERIALS),
    'people': lambda r, w: r.choice(PEOPLE),
    'length': lambda r, w: r.choice('metres centimetres millimetres feet miles kilometres'.split()),
    'weight': lambda r, w: r.choice('grams kilograms tonnes pounds'.split()),
    'id': _identifier,
    'phone': lambda r, w: ' '.join(str(r.randint(10, 999)) for _ in range(r.randint(1, 3))),
    'mail': lambda r, w: f'{w.word(r)}@{w.word(r)}.{r.choice(["com", "org", "example"])}',
    'side': lambda r, w: r.choice(
        'behind beside under above opposite in_front_of next_to near'.split()
    ).replace('_', ' '),
    'often': lambda r, w: r.choice(
        [
            'every ' + r.choice(DAYS),
            'once a month',
            'twice a year',
            'every day',
            f'every {_count(r)} days',
            'every spring',
            'each morning',
            'three times a week',
            'once a week',
            'every other year',
        ]
    ),
    'clause': lambda r, w: w.clause(r),
}


def _kinds():
    """kind -> (ways to state it, ways to ask for it, bare words that ask for it), of facts.txt"""
    found, marks, kind = {}, '=?-', None
    for line in open(HERE + 'facts.txt'):
        if line.startswith('  '):
            found[kind][marks.index(line[2])].append(line[4:].rstrip())
        else:
            kind = line.strip()
            found[kind] = ([], [], [])
    return found


KINDS = _kinds()
NAMES = list(KINDS)

Fact = collections.namedtuple('Fact', 'kind subject text questions')


def _fill(text, slots):
    # "{article} {n}" takes the article that fits the word after it.
    def one(m):
        return article(slots['n' + m.group(1)])

    text = re.sub(r'\{article(\d*)\} \{n\1\}', one, text)
    text = re.sub(r'\{article\d*\} \{adj\}', lambda m: article(slots['adj']), text)
    return text.format_map(slots)


def fact(r, words, subject, pronoun=False, kinds=NAMES):
    """something about a subject; with a pronoun the sentence does not name it"""
    kind = r.choice(kinds)
    statements, asked, bare = KINDS[kind]
    slots = Slots(r, words, subject, pronoun)
    text = cap(_fill(r.choice(statements), slots))
    slots['the'] = r.choice(['the ', 'the ', 'a ', 'my ', 'your ']) + subject
    slots['The'] = cap(slots['the'])
    questions = [_fill(q, slots) for q in r.sample(asked, 2)] + [_fill(r.choice(bare), slots)]
    return Fact(kind, subject, text, questions)
