"""The model's shape, and the chat encoding that training, evaluation and use share."""

import os, torch
from tokenizers import Tokenizer
from transformers import LlamaConfig

HERE = os.path.dirname(os.path.abspath(__file__))
TOKENIZER = Tokenizer.from_file(HERE + '/../tokenizer.json')
ID = {
    role: TOKENIZER.token_to_id(f'<|{role}|>')
    for role in ['pad', 'system', 'user', 'assistant', 'end']
}


def config():
    return LlamaConfig(
        vocab_size=TOKENIZER.get_vocab_size(),
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=640,
        rope_theta=10000.0,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        pad_token_id=ID['pad'],
        bos_token_id=None,
        eos_token_id=ID['end'],
        attn_implementation='sdpa',
    )


def load(checkpoint, device='cpu'):
    from transformers import LlamaForCausalLM

    m = LlamaForCausalLM(config())
    if checkpoint.endswith('.safetensors'):
        from safetensors.torch import load_file

        weights = load_file(checkpoint)
        m.load_state_dict(weights | {'lm_head.weight': weights['model.embed_tokens.weight']})
    else:
        m.load_state_dict(torch.load(checkpoint, map_location='cpu')['model'])
    return m.float().to(device)


def prompt_ids(messages):
    """[(role, text)] -> token ids up to and with the marker after which the assistant writes"""
    ids = []
    for role, text in messages:
        ids += [ID[role]] + TOKENIZER.encode(text).ids + [ID['end']]
    return ids + [ID['assistant']]


def training_ids(messages):
    """[(role, text)] -> token ids and the weight of each as a target: 0 outside answers, 3 on an
    answer's first three tokens (they choose the section), else 1"""
    ids, weights = [], []
    for role, text in messages:
        x = TOKENIZER.encode(text).ids + [ID['end']]
        ids += [ID[role]] + x
        weights += [0] + (
            [3 if i < 3 else 1 for i in range(len(x))] if role == 'assistant' else [0] * len(x)
        )
    return ids, weights


def decode(ids):
    return TOKENIZER.decode([i for i in ids if i != ID['end']], skip_special_tokens=False)


@torch.no_grad()
def generate(m, prompts, limit=90, temperature=0.0, generator=None):
    """prompts: lists of token ids, left-padded here; returns the new token ids of each, with
    <|end|> where it was reached"""
    device = next(m.parameters()).device
    n, B = max(map(len, prompts)), len(prompts)
    x = torch.zeros(B, n, dtype=torch.long, device=device)
    mask = torch.zeros_like(x)
    for i, p in enumerate(prompts):
        x[i, n - len(p) :] = torch.tensor(p)
        mask[i, n - len(p) :] = 1
    position, past, out, done = (
        (mask.cumsum(1) - 1).clamp(min=0),
        None,
        [[] for _ in prompts],
        [False] * B,
    )
    for _ in range(limit):
        r = m(
            input_ids=x,
            attention_mask=mask,
            position_ids=position,
            past_key_values=past,
            use_cache=True,
        )
        past, last = r.past_key_values, r.logits[:, -1].float()
        new = (
            last.argmax(-1)
            if temperature == 0
            else torch.multinomial(torch.softmax(last / temperature, -1), 1, generator=generator)[
                :, 0
            ]
        )
        for i, t in enumerate(new.tolist()):
            if not done[i]:
                out[i].append(t)
                done[i] = t == ID['end']
        if all(done):
            break
        x, mask, position = (
            new[:, None],
            torch.cat([mask, torch.ones(B, 1, dtype=torch.long, device=device)], 1),
            position[:, -1:] + 1,
        )
    return out
