"""Rules about how to answer, and conversations that follow them: `chat` draws one.

A rule says what every answer begins or ends with, what the only answer is, or who answers; rules
that change nothing (to be polite) stand among them. A page may stand beside them; without one, what
is asked for is not known.
"""

import documents, facts, pages
from documents import IDK, TALK, WHO, cap

SAID = (
    'Over and out.|Have a nice day!|Hope that helps.|Ahoy!|Sure thing!|Good question.|Kind regards,'
    ' Ada|Thank you for asking!|Stay safe.|Of course!|At your service.|Yours, the team|Take care!|'
    'Let me see.|All the best.|Ask Bob in the blue office.|Please call us.|Aye aye, captain!|'
    'Anything else?|I am happy to help.|Well, well.|See you soon.|Dear reader,|Here you go:'
).split('|')
BEGIN = (
    'Begin every answer with|Start each reply with|Always open with|Every answer begins with|'
    'Start every answer with|Begin all your answers with|First say|Always begin with'
).split('|')
END = (
    'End every answer with|Finish each reply with|Always close with|Every answer ends with|'
    'Always end with|End all your answers with|Close every reply with|Sign every answer with'
).split('|')
ONLY = (
    'Always answer|Answer every question with|Reply to everything with|The only answer is|'
    'Always say|Whatever is asked, say|Answer all questions with'
).split('|')
IDLE = (
    'Be polite.|Be friendly.|You are helpful.|Answer in one sentence.|Use simple words.|Be kind.|'
    'Speak English.|Do not lie.|Help the user.|Answer politely.|Be honest.|Be patient.'
).split('|')


def words(r):
    """what is said, which ends in a way that can be seen"""
    if r.random() < 0.3:
        return r.choice(SAID)
    n = r.randint(1, 6)
    return cap(' '.join(documents.words(r, n))) + r.choice(['.', '.', '!', '...', '?'])


def rule(r, how, said):
    """a rule with its words in quotes or after a colon"""
    if r.random() < 0.45:
        quote = r.choice(['"', '"', "'"])
        return f'{how}{r.choice(["", "", ":", " the words"])} {quote}{said}{quote}' + r.choice(
            ['', '.']
        )
    return f'{how}{r.choice([":", ":", ": ", ""]).rstrip()} {said}'


def rules(r):
    """rules, what they make of an answer, and who they say answers"""
    said, before, after, only, role = [], '', '', '', ''
    x = r.random()
    if x < 0.35:
        after = words(r)
        said.append(rule(r, r.choice(END), after))
    elif x < 0.6:
        before = words(r)
        said.append(rule(r, r.choice(BEGIN), before))
    elif x < 0.7:
        only = words(r)
        said.append(rule(r, r.choice(ONLY), only))
    elif x < 0.8:
        before, after = words(r), words(r)
        said += [rule(r, r.choice(BEGIN), before), rule(r, r.choice(END), after)]
    if r.random() < (0.3 if said else 0.8):
        a = facts.article
        role = r.choice(
            [
                lambda: a(r.choice(documents.ROLES)),
                lambda: a(f'{documents.word(r)} {r.choice(documents.ROLES)}'),
                lambda: documents.name(r),
                lambda: f'{documents.name(r)}, the {r.choice(facts.ROLES)} of {documents.name(r)}',
                lambda: f'{documents.name(r)}, {a(r.choice(documents.ROLES))}',
            ]
        )()
        said.append(r.choice(['You are {}.', 'You are {}.', 'Act like {}.']).format(role))
    if r.random() < 0.3 or not said:
        said.append(r.choice(IDLE))
    r.shuffle(said)
    change = lambda answer: only or ' '.join(t for t in (before, answer, after) if t)
    return r.choice([' ', '\n']).join(said), change, role


def chat(r):
    """a conversation under rules: [(role, text)]"""
    text, change, role = rules(r)
    page = pages.Page(r, r.randint(1, 4), 4, None) if r.random() < 0.3 else None
    if page:
        document = page.layout()
        text = f'{text}\n\n{document}' if r.random() < 0.6 else f'{document}\n\n{text}'
    turns = [('system', text)]
    for _ in range(r.randint(3, 6)):
        x = r.random()
        if x < 0.15:
            answer = f'I am {role}.' if role else 'I am a small assistant.'
            turns += [('user', r.choice(WHO)), ('assistant', change(answer))]
        elif x < 0.3:
            question, answer = r.choice([t for t in TALK if not t[0].startswith('Who')])
            turns += [('user', question), ('assistant', change(answer))]
        elif page and x < 0.85:
            found = page.exchange()
            if found:
                turns += [('user', found[0]), ('assistant', change(found[1]))]
        else:
            question = page.absent() if page else unknown(r)
            if question:
                turns += [('user', question), ('assistant', change(IDK))]
    return turns if len(turns) > 1 else chat(r)


def unknown(r):
    """a question about anything"""
    found = pages.Page(r, 1, 3, None).exchange()
    return found[0] if found else documents.question(r, documents.heading(r))


if __name__ == '__main__':
    documents.show(chat, 12)
