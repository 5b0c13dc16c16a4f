"""Words, synonyms and glosses of WordNet 3.0 (the Debian package wordnet-base).

Licence: WordNet 3.0 Copyright 2006 by Princeton University; free to use with this notice. Nothing
of it is in the repository: it is read where the package is installed.
"""

import collections, functools, re

HOME = '/usr/share/wordnet/'
NOUN, VERB, ADJECTIVE = 'noun', 'verb', 'adj'
# Lexicographer files whose nouns are things that people ask about.
THINGS = {4, 5, 6, 8, 10, 11, 13, 14, 15, 18, 20, 21, 27}

Synset = collections.namedtuple('Synset', 'words file gloss examples')


@functools.cache
def synsets(part):
    found = {}
    for line in open(HOME + 'data.' + part):
        if line.startswith('  '):
            continue
        data, _, text = line.partition(' | ')
        fields = data.split()
        count = int(fields[3], 16)
        words = [
            re.sub(r'\(\w+\)$', '', w).replace('_', ' ') for w in fields[4 : 4 + 2 * count : 2]
        ]
        gloss, *quoted = text.strip().split('; "')
        examples = [q.rstrip('"; ') for q in quoted]
        found[fields[0]] = Synset(words, int(fields[1]), gloss.strip(), examples)
    return found


@functools.cache
def senses(part):
    """word -> its synsets, the most usual first, for words that were seen in tagged text"""
    found, all_synsets = {}, synsets(part)
    for line in open(HOME + 'index.' + part):
        if line.startswith('  '):
            continue
        fields = line.split()
        word, count, pointers = fields[0], int(fields[2]), int(fields[3])
        tagged = int(fields[5 + pointers])
        if tagged and word.isalpha() and 2 < len(word) < 13:
            found[word] = [all_synsets[o] for o in fields[6 + pointers : 6 + pointers + count]]
    return found


@functools.cache
def usual(part):
    """words of a part of speech; of nouns those that are things"""
    return sorted(w for w, s in senses(part).items() if part != NOUN or s[0].file in THINGS)


@functools.cache
def synonyms(word):
    """other usual words for the first sense of a word"""
    found = []
    for part in (NOUN, VERB, ADJECTIVE):
        own = senses(part)
        if word in own:
            found += [w for w in own[word][0].words if w != word and w in own and w.islower()]
    return found


@functools.cache
def glosses():
    """(words, gloss, examples) of the nouns whose gloss is a short sentence"""
    seen = set()
    for s in sum(senses(NOUN).values(), []):
        if 3 <= len(s.gloss.split()) <= 18 and '(' not in s.gloss and s.gloss.isascii():
            seen.add((tuple(w for w in s.words if w.isascii()), s.gloss, tuple(s.examples)))
    return sorted(g for g in seen if g[0])


@functools.cache
def examples():
    """sentences that show how a word is used"""
    found = []
    for part in (NOUN, VERB, ADJECTIVE):
        for s in synsets(part).values():
            found += [e for e in s.examples if 4 <= len(e.split()) <= 16 and e.isascii()]
    return sorted(set(found))
