"""The `tokenizers` package as the reference of Skarv's tokenizer.

encode <tokenizer.json> <strings> <ids>: one JSON string a line in, one JSON list of ids a line out.
    Each string twice: special tokens as ordinary text, then recognised.
train <texts> <vocabulary size> <tokenizer.json>: one JSON string a line in.
cut <strings> <words>: one JSON list of words a line out, as cut before merging.
"""
import json
import sys

from tokenizers import Tokenizer, models, pre_tokenizers, trainers


def strings(path):
    with open(path, encoding="utf-8", newline="\n") as lines:
        return [json.loads(line) for line in lines]


def byte_level():
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def encode(tokenizer_path, strings_path, ids_path):
    tokenizer = Tokenizer.from_file(tokenizer_path)
    texts = strings(strings_path)
    with open(ids_path, "w") as out:
        for as_ordinary in (True, False):
            tokenizer.encode_special_tokens = as_ordinary
            for text, encoding in zip(texts, tokenizer.encode_batch(texts, add_special_tokens=False)):
                out.write(json.dumps(encoding.ids) + "\n")
                if not as_ordinary:
                    assert tokenizer.decode(encoding.ids, skip_special_tokens=False) == text


def train(texts_path, vocabulary_size, tokenizer_path):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = byte_level()
    trainer = trainers.BpeTrainer(
        vocab_size=int(vocabulary_size),
        min_frequency=2,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(strings(texts_path), trainer)
    tokenizer.save(tokenizer_path)


def cut(strings_path, words_path):
    cutter = byte_level()
    with open(words_path, "w") as out:
        for text in strings(strings_path):
            out.write(json.dumps([word for word, _ in cutter.pre_tokenize_str(text)]) + "\n")


{"encode": encode, "train": train, "cut": cut}[sys.argv[1]](*sys.argv[2:])
