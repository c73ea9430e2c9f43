#!/usr/bin/env python3
"""Makes tests/data/parity/{bert_states,distilbert}.safetensors: small text encoders of transformers with random weights.

Usage: scripts/golden/text_encoders.py  (needs torch, transformers, safetensors)
"""
import pathlib

import torch

from models import randomise, save
import transformers
from safetensors.torch import save_file

made_by = {"script": "scripts/golden/text_encoders.py", "torch": torch.__version__, "transformers": transformers.__version__}


def golden_of(model, first, last):
    tokens = torch.randint(1, 70, (4, 11))
    mask = torch.ones(4, 11, dtype=torch.bool)
    for row, length in enumerate((11, 7, 2, 1)):
        mask[row, length:], tokens[row, length:] = False, 0
    model.set_attn_implementation("eager")  # the other implementations give no attention maps
    out = model(input_ids=tokens, attention_mask=mask.long(), output_hidden_states=True, output_attentions=True)
    hidden = out.last_hidden_state
    weight = mask.unsqueeze(-1).float()  # sentence-transformers' Pooling, mode "mean"
    mean = (hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
    probe = torch.randn_like(hidden) * weight
    parameters = dict(model.named_parameters())
    gradients = torch.autograd.grad((hidden * probe).sum(), [parameters[first], parameters[last]])
    golden = {"tokens": tokens, "mask": mask, "last_hidden_state": hidden, "first_layer": out.hidden_states[1], "mean": mean, "probe": probe,
              f"gradient/{first}": gradients[0], f"gradient/{last}": gradients[1]}
    return golden | {f"attention/{i}": attention for i, attention in enumerate(out.attentions)}


torch.manual_seed(11)
bert = randomise(transformers.BertModel(transformers.BertConfig(
    vocab_size=70, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=16),
    add_pooling_layer=False)).eval()
save("bert_states", bert, golden_of(bert, "embeddings.word_embeddings.weight", "encoder.layer.1.output.dense.weight"), made_by)

distilbert = randomise(transformers.DistilBertModel(transformers.DistilBertConfig(
    vocab_size=70, dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=16))).eval()
save("distilbert", distilbert, golden_of(distilbert, "embeddings.word_embeddings.weight", "transformer.layer.1.ffn.lin2.weight"), made_by)
