#!/usr/bin/env python3
"""Makes tests/data/text/{corpus.jsonl.gz,mojibake.json,code_points.json}: what transformers' BertTokenizer and open_clip's SimpleTokenizer
make of some thousand strings and of every code point.

A line of the corpus is [text, BERT, CLIP]: text as a string, or as {"hex": …} where it is not well-formed UTF-8; the others as the ids
themselves or as a hash of them (see hash_of). Lines that begin with "settings" hold one hash for the 50 lines before them, by other settings
of BertTokenizer. A string that ftfy decodes anew goes to mojibake.json, for there ours is known to differ.

Usage: scripts/golden/tokenizer_corpus.py  (needs transformers, open_clip; reads vocab.txt and bpe_simple_vocab_16e6.txt.gz)
"""
import gzip
import html
import io
import json
import pathlib
import random
import zlib

import ftfy
import regex
import tokenizers
import torch
import transformers

library = torch.library.Library("torchvision", "DEF")  # its compiled operators do not load beside a CPU torch
for operator in ("nms", "qnms"):
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import open_clip

folder = pathlib.Path(__file__).resolve().parents[2] / "tests/data/text"
rng = random.Random(20)

NOUNS = "cat dog meme grandma boss monday coffee wifi pizza spider deadline zombie teacher exam keyboard pigeon yeti laptop gym salad".split()
VERBS = "eats breaks finds ignores wants deploys yells at steals forgets loves reviews refactors googles unboxes".split()
ADJECTIVES = "tiny sleepy unreasonably-large smol café-loving naïve haunted self-driving 90's pre-owned sus".split()
OPENERS = ["When you", "me:", "nobody:\nabsolutely nobody:", "POV:", "That moment when", "A photo of", "a picture of a", "Be like", "Y'all",
           "I can't believe", "TFW", "one does not simply", "shut up and take my", "not sure if", "y u no"]
ENDINGS = ["", "!", "!!!", "...", "…", " lol", " #nofilter", " 😂😂", " – said no one ever", " (1/2)", "?", "?!", " @ 3:30 pm", " — 100%",
           " it's fine", " we're not the same", " I'd've", " they'll", " I'm", " don't", " 'twas", " rock 'n' roll"]
SCRIPTS = {
    "arabic": "مرحبا بالعالم هذا قط صغير اَلْعَرَبِيَّةُ ٠١٢٣٤ ؟ ، لا إله محمد ﷺ ﻻ",
    "hebrew": "שלום עולם שָׁלוֹם חתול קטן ״ציטוט״ בְּרֵאשִׁית",
    "hindi": "नमस्ते दुनिया हिन्दी क्षत्रिय बिल्ली छोटी है । १२३ ज़िन्दगी क़लम",
    "thai": "สวัสดีชาวโลก ภาษาไทย แมวตัวเล็ก ๑๒๓ น้ำ",
    "japanese": "こんにちは世界 カタカナ がぎぐげご パピプペポ ﾊﾝｶｸ ｶﾞ 猫が好き 々 〆 ー 「引用」 １２３",
    "chinese": "你好，世界！這是中文。小猫吃鱼 㐀㐁 𠀀𠀁 豈更 〇 《书》",
    "korean": "안녕하세요 세계 한국어 각 고양이 ㄱㄴㄷ 각 ﾡ",
    "greek": "ΟΔΟΣ ὈΔΥΣΣΕΎΣ Ωμέγα ἄλφα ᾳ ᾼ ΣΊΣΥΦΟΣ Σ ΑΣ ΣΑ Σ'Σ ΣΑΣ.ΣΑΣ ᾿ ΆΈΉ",
    "cyrillic": "Привет мир ЁЛКА Йогурт ёлка йод Ꙋ ѓ Ѓ кошка Їжак ґанок Ҕ",
    "vietnamese": "Việt Nam Nguyễn Trần Phở bò Đà Nẵng mèo ươ ƯỚC",
    "european": "Straße GROẞ łódź ŁÓDŹ đ Ð þ Æther œuvre Øre İstanbul ıI ISPARTA Çà ñandú São crème ŉ Ǆ ǅ ĳ ﬁne ﬂour ﬃ ﬆ",
    "other": "ქართული ᲥᲐᲠᲗᲣᲚᲘ հայերեն ՀԱՅԵՐԵՆ ᏣᎳᎩ ꮳꮃꭹ ᠮᠣᠩᠭᠣᠯ አማርኛ ខ្មែរ ລາວ မြန်မာ བོད་ தமிழ் తెలుగు ಕನ್ನಡ മലയാളം ਪੰਜਾਬੀ සිංහල 𐐀𐐨 𞤀𞤢",
    "styled": "𝐁𝐨𝐥𝐝 𝒮𝒸𝓇𝒾𝓅𝓉 𝔉𝔯𝔞𝔨 𝟙𝟚𝟛 ⒶⒷⓒ 🅰🅱 ＦＵＬＬ　ｗｉｄｔｈ！ ʇxǝʇ ᴄᴀᴘs ˢᵘᵖ ₛᵤᵦ Ⅳ ⅳ ½ ² ㊗ ① ™ № ℃ Å Ω",
}
EMOJI = ["😀", "😂", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "🇯🇵🇫🇷", "❤️", "☺︎", "1️⃣", "✊🏿", "🧑🏾‍🚀", "🏴󠁧󠁢󠁷󠁬󠁳󠁿", "🔥", "🤷🏻‍♀️", "👩‍❤️‍💋‍👨", "🫠", "🫸🏼", "🩷", "🫩", "#️⃣", "⚕️"]
ENTITIES = ["&amp;", "&lt;b&gt;", "&quot;", "&#39;", "&#x27;", "&nbsp;", "&eacute;", "&EACUTE;", "&amp;amp;", "&amp;lt;", "&notit;", "&notin;", "&amp",
            "&copy", "&copy2", "&AMP;", "&SZLIG;", "&#128514;", "&#0;", "&#x80;", "&#150;", "&#xD800;", "&#x110000;", "&#99999999999999;", "&#;",
            "&#x;", "& ", "&", "&&amp;", "&bogus;", "&ThickSpace;", "&NotEqualTilde;", "&ldquo;hi&rdquo;", "&#8220;", "&lsquo;", "&fflig;",
            "&FFLIG;", "&hellip;", "&zwj;", "&shy;", "&Sigma;&Sigma;", "&#x1F602;", "&#1;", "&#xB;", "&#xFFFE;", "&CounterClockwiseContourIntegral;",
            "&amp;#39;", "&amp;amp;quot;", "&lt;start_of_text&gt;", "&#59;", "&#38;amp;", "&#12ab;", "&ampx;", "&timesbar;", "&times;", "&frac12x",
            "&#X41;", "&#x41g", "&#65g", "&abcdefghijklmnopqrstuvwxyzabcdefghijklmnop;", "&eacute", "&eacutex", "&Eacute", "&ETH", "&GT;", "&NewLine;"]
URLS = ["https://example.org/a?b=c&d=e#f", "http://www.memes.example/watch?v=dQw4&amp;t=10s", "e-mail me@example.org", "ftp://x.y/z_w-v~u",
        "www.a-b.co.uk", "user@host:~/dir$ ls -la", "C:\\path\\to\\file.txt", "10.0.0.1:8080", "#hash_tag", "@some_one", "r/memes", "u/someone"]
NUMBERS = ["3.14159", "1,000,000", "1e-5", "0x1F", "50/50", "12:30pm", "2020-01-01", "+49 (0)30 123", "$9.99", "€5", "100%", "1st 2nd 3rd", "H2O", "x²"]
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\xa0", "\u1680", "\u180e", "\u2000",
          "\u2003", "\u2009", "\u200a", "\u200b", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\ufeff", "\u2060"]
CONTROLS = [chr(c) for c in (*range(32), *range(0x7f, 0xa0))] + ["\xad", "\u061c", "\u200c", "\u200d", "\u200e", "\u202a", "\u202e", "\u2066",
            "\u206a", "\u206f", "\ufff9", "\ufffb", "\ufffc", "\ufffd", "\ufdd0", "\uffff", "\U0001fffe", "\ue000", "\U000f0000", "\U0010ffff",
            "\u0378", "\U000e0080", "\U000e0001", "\x1b[31m", "\x1b[0m", "\x1b[1;٣m", "\x1b[", "\x1b]0;x\x07", "\x1b[\x1b[0mm"]
QUOTES = ["“double”", "‘single’", "„low“", "‚y’", "«guillemets»", "it’s", "it‘s", "‛x‟", "ʼn", "don´t", "`code`", "″", "＇", "＂"]
SPECIAL = ["[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]", "[cls]", "[MASK", "[unused0]", "[[MASK]]", "<start_of_text>", "<end_of_text>",
           "<START_OF_TEXT>", "<ſtart_of_text>", "<|endoftext|>", "<end_of_text", "</w>", "a</w>", "it'ſ", "'S", "'LL", "'Re", "'d'd", "''s", "running"]
PUNCTUATION = [c for c in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡¿§¶†‡‰′‹›…‥·•‧⁂※⁇‽؟،؛۔।॥๛៖།፡።⸮、。〈〉《》「」"] + ["--", "...", "?!?!", ";-)", "¯\\_(ツ)_/¯", "(╯°□°)╯︵ ┻━┻"]
MARKS = [c for c in map(chr, range(0x300, 0x1f000)) if regex.match(r"\p{M}", c)]
MALFORMED = [b"\xf0\x9f\x98", b"\x80", b"\xbf\xbf", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf4\x90\x80\x80",
             b"\xf8\x88\x80\x80\x80", b"\xff", b"\xfe\xff", b"\xe4\xbd", b"\xe2(\xa1", b"\xf1t", b"\xe9t\xe9", b"\xc3", b"\xa9", b"\xf0\x9f", b"\xf0\x90\x28\xbc",
             b"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf", b"\x00", b"\xef\xbf\xbd", b"\xf4\x8f\xbf", b"\xf4\x8f\xbf\xbf", b"\xe0\xa0", b"\xee\x80"]
MOJIBAKE = ["cafÃ©", "itâ€™s fine", "naÃ¯ve", "â€œquotedâ€\x9d", "Ã la mode", "ÐŸÑ€Ð¸Ð²ÐµÑ‚", "ð\x9f\x98\x82 lol", "schÃ¶n", "l'humanitÃ©", "â\x80\xa6",
            "sÃ³", "doesnâ€™t â€” really", "Â£5 and Â©2020", "ã\x81\x93ã\x82\x93", "RenÃ© said â€œhiâ€", "caf\u00c3\u00a9 caf\u00c3\u00a9", "&Atilde;&copy;"]


def sentence():
    words = [rng.choice(OPENERS), rng.choice(["the", "a", "your", "my", "that"]), rng.choice(ADJECTIVES), rng.choice(NOUNS), rng.choice(VERBS),
             rng.choice(["the", "my", "every", "2", "100"]), rng.choice(NOUNS)]
    text = " ".join(words) + rng.choice(ENDINGS)
    return rng.choice([str, str, str.upper, str.title])(text)


def word():
    """A word or sign of any kind."""
    kind = rng.randrange(12)
    if kind == 0:
        return rng.choice(rng.choice(list(SCRIPTS.values())).split(" "))
    pool = [NOUNS, VERBS, EMOJI, ENTITIES, URLS, NUMBERS, QUOTES, SPECIAL, PUNCTUATION, CONTROLS, ADJECTIVES][kind - 1]
    return rng.choice(pool)


def marks():
    """Letters under piles of marks, new and old, in any order."""
    return "".join(rng.choice("aeoAÉ각がक ΣΑ'") + "".join(rng.choice(MARKS) for _ in range(rng.randint(0, 5))) for _ in range(rng.randint(1, 8)))


def sigmas():
    return "".join(rng.choice(["Σ", "Σ", "Α", "σ", "ς", "a", "1", ".", "'", "\u00ad", "\u0301", " ", "ʰ", "中", "Ⓐ", "ª", ":", "\u200d"])
                   for _ in range(rng.randint(1, 12)))


def any_characters():
    ranges = [(0x20, 0x7f), (0xa0, 0x250), (0x250, 0x370), (0x370, 0x600), (0x600, 0x900), (0x900, 0xe00), (0xe00, 0x1e00), (0x1e00, 0x2070),
              (0x2070, 0x2c00), (0x2c00, 0x3100), (0x3100, 0x4e00), (0xa000, 0xac00), (0xac00, 0xd7ff), (0xe000, 0x10000), (0x10000, 0x14000),
              (0x16000, 0x1f000), (0x1f000, 0x20000), (0x2a600, 0x32000), (0xe0000, 0xe0200)]
    low, high = rng.choice(ranges)
    return "".join(chr(rng.randrange(low, high)) if rng.random() < 0.8 else chr(rng.randrange(0x20, 0x7f)) for _ in range(rng.randint(1, 24)))


def corpus():
    lines = ["", " ", "\n", "a", "A", "!", "0", "é", "中", "😀", "\x00", "\ufffd", "<", "&", "'", "''", "'s", "\u0345", "x\u0345y", "[", "[SEP]", "Σ"]
    lines += [*EMOJI, *ENTITIES, *URLS, *NUMBERS, *CONTROLS, *QUOTES, *SPECIAL, *PUNCTUATION, *SCRIPTS.values()]
    lines += [f"a{space}b{space}" for space in SPACES] + [f"x{sign}y" for sign in CONTROLS + ENTITIES]
    lines += [f"<b>{entity}</b>" for entity in ENTITIES] + [f"{entity}\n<b>\n{entity}" for entity in ENTITIES[:20]]
    lines += ["x" * 100, "x" * 101, "e\u0301" * 101, "a" * 99 + " " + "b" * 300, "word " * 2000, "lol" * 3334, "😀" * 2500, "中" * 5000, "!" * 10000,
              "ha" * 5000, " " * 10000, "&amp;" * 2000, "a\u0301\u0323" * 3000, "don't " * 1700, "1234567890" * 1000, "[MASK]" * 1500, "\u0301\u0323" * 5000,
              "&" + "amp;" * 40, "the quick brown fox " * 500, "".join(map(chr, range(0x20, 0x2730)))]
    lines += [sentence() for _ in range(1700)]
    lines += ["".join(word() + rng.choice([" ", " ", " ", "", "", "-", "\n", rng.choice(SPACES)]) for _ in range(rng.randint(1, 14))) for _ in range(1500)]
    lines += [html.escape(sentence()) for _ in range(150)] + [marks() for _ in range(500)] + [sigmas() for _ in range(250)]
    lines += [any_characters() for _ in range(800)]
    data = [line.encode() for line in lines] + MALFORMED
    for _ in range(250):
        parts = [rng.choice(MALFORMED) if rng.random() < 0.4 else word().encode() for _ in range(rng.randint(1, 8))]
        data.append(rng.choice([b"", b" "]).join(parts))
    for _ in range(100):
        data.append(bytes(rng.randrange(256) for _ in range(rng.randint(1, 30))))
    return data


def hash_of(ids, value=0xCBF29CE484222325):
    """FNV-1a over the ids as 32-bit numbers, the low byte first, in hexadecimal."""
    for byte in b"".join(i.to_bytes(4, "little") for i in ids):
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


vocabulary = str(folder / "vocab.txt")
EXTRA = ["[unused0]", "run", "running"]
bert = transformers.BertTokenizer(vocabulary)
others = {
    "cased": transformers.BertTokenizer(vocabulary, do_lower_case=False),
    "with_accents": transformers.BertTokenizer(vocabulary, strip_accents=False),
    "cased_without_accents": transformers.BertTokenizer(vocabulary, do_lower_case=False, strip_accents=True),
    "chinese_in_words": transformers.BertTokenizer(vocabulary, tokenize_chinese_chars=False),
    "never_split": transformers.BertTokenizer(vocabulary, extra_special_tokens=EXTRA),
}
clip = open_clip.tokenizer.SimpleTokenizer(str(folder / "bpe_simple_vocab_16e6.txt.gz"))
assert len(bert) == 30522 == len(others["never_split"]) and clip.vocab_size == 49408
without_decoding = ftfy.TextFixerConfig(fix_encoding=False, explain=False)
fix_text = ftfy.fix_text
made_by = {"script": "scripts/golden/tokenizer_corpus.py", "transformers": transformers.__version__, "tokenizers": tokenizers.__version__,
           "open_clip": open_clip.__version__, "ftfy": ftfy.__version__, "regex": regex.__version__}


def bert_ids(tokenizer, text):
    return tokenizer(text)["input_ids"]


def clip_ids(text, decode=True):
    ftfy.fix_text = fix_text if decode else lambda text: fix_text(text, without_decoding)
    ids = [clip.sot_token_id, *clip.encode(text), clip.eot_token_id]
    ftfy.fix_text = fix_text
    return ids


def lines():
    """The lines of corpus.jsonl, and the strings that belong to mojibake.json."""
    rows, mojibake, block = [], list(MOJIBAKE), []

    def end_block():
        rows.append(["settings", {name: hash_of([i for text in block for i in bert_ids(tokenizer, text)]) for name, tokenizer in others.items()}])
        block.clear()

    for number, data in enumerate(corpus()):
        text = data.decode("utf-8", errors="replace")
        if fix_text(text) != fix_text(text, without_decoding):
            mojibake.append(text)
            continue
        ids = [bert_ids(bert, text), clip_ids(text)]
        short = number % 10 == 0 and max(map(len, ids)) < 60
        rows.append([text if text.encode() == data else {"hex": data.hex()}, *(i if short else hash_of(i) for i in ids)])
        block.append(text)
        if len(block) == 50:
            end_block()
    end_block()
    return rows, mojibake


def code_points():
    """CRC-32 of what becomes of "a" + c + "b", a line for each code point c, in blocks of 1024 code points."""
    splitter = tokenizers.pre_tokenizers.BertPreTokenizer()

    def words(normalizer):
        return lambda text: "\0".join(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))

    def ids(text):
        found = clip_ids(text)
        assert found == clip_ids(text, decode=False), text
        return " ".join(map(str, found))

    settings = {"uncased": dict(lowercase=True), "cased": dict(lowercase=False), "with_accents": dict(lowercase=True, strip_accents=False),
                "chinese_in_words": dict(lowercase=True, handle_chinese_chars=False)}
    makers = {name: words(tokenizers.normalizers.BertNormalizer(**options)) for name, options in settings.items()} | {"clip": ids}
    return {name: [zlib.crc32("".join(make(f"a{chr(c)}b") + "\n" for c in range(start, start + 1024)).encode())
                   for start in range(0, 0x110000, 1024) if not 0xD800 <= start < 0xE000] for name, make in makers.items()}


rows, mojibake = lines()
mojibake = [t for t in mojibake if len(t) < 200 and clip_ids(t) != clip_ids(t, decode=False)]
text = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in [made_by, *rows])
buffer = io.BytesIO()
with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0, filename="") as file:
    file.write(text.encode())
(folder / "corpus.jsonl.gz").write_bytes(buffer.getvalue())
strings = sum(row[0] != "settings" or len(row) == 3 for row in rows)
print(f"{strings} strings, {len(buffer.getvalue())} bytes; {len(mojibake)} strings that ftfy decodes anew")

entries = ",\n".join(json.dumps({"text": t, "open_clip": clip_ids(t), "without_decoding": clip_ids(t, decode=False)}, separators=(",", ":"))
                     for t in mojibake)
(folder / "mojibake.json").write_text(f'{{"made_by":{json.dumps(made_by)},\n"entries":[\n{entries}\n]}}\n')
points = ",\n".join(f'"{name}":{json.dumps(values, separators=(",", ":"))}' for name, values in code_points().items())
(folder / "code_points.json").write_text(f'{{"made_by":{json.dumps(made_by)},\n{points}}}\n')
