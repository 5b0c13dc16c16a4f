"""Trains the tokenizer: byte-level BPE, digits apart, 4096 entries, five special tokens. Writes
../tokenizer.json, which is part of the model."""

import os, random
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from documents import DICT, PARA, sample

SPECIAL = ['<|pad|>', '<|system|>', '<|user|>', '<|assistant|>', '<|end|>']


def texts():
    yield from PARA[:20000]
    yield from (' ' + w for w in DICT)
    r = random.Random(0)
    for _ in range(9000):
        yield from (text for _, text in sample(r))


if __name__ == '__main__':
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(
        texts(),
        trainers.BpeTrainer(
            vocab_size=4096,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    t.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'tokenizer.json'))
