#!/usr/bin/env python3
"""Makes tests/data/text/wordpiece.json: what transformers' BertTokenizer makes of a corpus of awkward strings.

Usage: scripts/golden/wordpiece.py  (needs transformers; reads tests/data/text/vocab.txt)
"""
import json
import pathlib
import random
import re

import tokenizers
import transformers

folder = pathlib.Path(__file__).resolve().parents[2] / "tests/data/text"

PLAIN = r"""
this is you on the track
you will never run like this
spotted: you, running late AGAIN!!!
When you realise it's Monday... 😭😭
LOL, I can't even — "nice try", she said.
don't stop-believing; hold_on (to that) [feeling] {now} <ok> @user #hashtag $5 100% ^_^ ~tilde~ `code` |pipe| a\b a/b a=b a+b a*b
3.14159 1,000,000 1e-5 0x1F 50/50 12:30pm 2020-01-01
e-mail me@example.org or see https://example.org/a?b=c&d=e#f
antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis
supercalifragilisticexpialidocious xqzzkjw
unaffable embeddings tokenization WordPiece
Mixed CASE wOrDs With ALLCAPS and CamelCase
café naïve façade Ångström São Paulo Zürich crème brûlée
CAFÉ NAÏVE FAÇADE ÅNGSTRÖM SÃO PAULO ZÜRICH
Straße GROẞ ﬁne ﬂour ﬃ Æther œuvre Øre łódź ŁÓDŹ đ Đ ħ
İstanbul ıI iI ISPARTA İİ
ΟΔΟΣ ὈΔΥΣΣΕΎΣ Ωμέγα ἄλφα ᾳ ᾼ
Привет, мир! ЁЛКА Йогурт ёлка йод
Việt Nam Nguyễn Trần Phở bò Đà Nẵng
Ǆ ǅ ǆ Ⱥ ⱥ Ꭰ ꭰ Ა ა
שלום עולם שָׁלוֹם
مرحبا بالعالم اَلْعَرَبِيَّةُ
नमस्ते दुनिया हिन्दी क्षत्रिय
สวัสดีชาวโลก ภาษาไทย
ગુજરાતી தமிழ் తెలుగు ಕನ್ನಡ മലയാളം
안녕하세요 세계 한국어 각
こんにちは世界 カタカナ がぎぐげご パピプペポ ﾊﾝｶｸ
你好，世界！這是中文。
混合mixed中文with英文words
㐀㐁 䶵 鿿 豈 更 𠀀𠀁 𪜀 𫝀 𫠠 丽
〇 々 〆 〒 ㍿ ㊗ ① Ⅳ ½ ² ³ ⁴ ₂
full width ＡＢＣ １２３ ！？
emoji 😀 👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 ❤️ ☺︎ 1️⃣ ✊🏿
emoji😀glued👍to🔥words
money € £ ¥ ₹ ₿ ¢ ¤ ƒ
maths ∀x ∈ ℝ: x² ≥ 0 ∑ ∫ √ ∞ ≠ ± × ÷ ∂ π
arrows ← → ⇒ boxes ─│┌ █ shapes ■ ● ★ ☆ ♥ ♪ ✓
quotes “double” ‘single’ «guillemets» „low“ ‹x› ‚y’
dashes - ‐ ‑ ‒ – — ― − … ‥ · • ‧
¡Hola! ¿Qué tal? § ¶ † ‡ ‰ ′ ″ ‴
soft\u00adhyphen zero\u200bwidth joi\u200cner joi\u200dner \ufeffbom word\u2060joiner
bidi \u202aembedded\u202c \u202eoverride\u202c \u2066isolate\u2069 \u061c mark\u200e\u200f
spaces\u00a0nbsp\u2002en\u2003em\u2009thin\u200ahair\u202fnarrow\u205fmath\u3000ideographic\u1680ogham\u180emongol
lines\u2028separator\u2029paragraph\u0085next
tabs\tand\r\nnew\nlines\r  and   runs   of    spaces
control\x00nul\x01soh\x07bell\x08bs\x0bvt\x0cff\x1besc\x1cfs\x1fus\x7fdel\x80pad\x9fapc
replacement \ufffd char\ufffdacter
private \ue000 use \uf8ff \U000f0000 \U0010fffd
unassigned \u0378 \u0380 \U000e0080 noncharacter \ufdd0 \uffff \U0001ffff
combining e\u0301 e\u0301\u0323 e\u0323\u0301 a\u030a A\u030a \u0301alone n\u0303 o\u0302\u0301 x\u20dd
marks \u0903 \u302e \u302f \U0001d165 \u0345 \u0488
Zalgo Z\u0351\u036b\u0343a\u0323l\u0334g\u0335o\u0321
compat \u2126 \u212b \u212a \u1e9b\u0323 \u0344 \u0958 \u2adc \uf900
[CLS] [SEP] [PAD] [MASK] [UNK]
a [SEP] b[SEP]c [MASK]ing the[MASK] [cls] [Sep] [MASK [MASK]] [[MASK]] [SEP
[unused0] [UNUSED1] [unused99] [PAD][PAD] \u200b[SEP]\u200b
## ##ing #ing word##piece
. .. ... , ; : ! ? ' '' " "" - -- _ __ / \ | ( ) [ ] { } < > & * % $ # @ ^ ~ ` + =
a.b.c,d;e:f!g?h'i"j-k_l/m
''
'tis the season; rock 'n' roll; y'all'd've
ok boomer 🙄 #fail #NoFilter @someone_else rt: lmao 😂😂😂
ᏣᎳᎩ ꮳꮃꭹ ᠮᠣᠩᠭᠣᠯ ⴰⵎⴰⵣⵉⵖ አማርኛ ខ្មែរ ລາວ မြန်မာ བོད་ ქართული ᲥᲐᲠᲗᲣᲚᲘ հայերեն ՀԱՅԵՐԵՆ
𝐁𝐨𝐥𝐝 𝒮𝒸𝓇𝒾𝓅𝓉 𝔉𝔯𝔞𝔨𝔱𝔲𝔯 𝟙𝟚𝟛 ⒶⒷⓒ 🅰🅱 𐐀𐐨
upside ʇxǝʇ ɐ small ᴄᴀᴘs ˢᵘᵖᵉʳ ₛᵤᵦ
؟ ، ؛ ۔ । ॥ ؉ ๛ ៖ ། ᛫ ፡ ። ⸮ ⁂ ※ ⁇ ‽
""".strip("\n").split("\n")

MALFORMED = [
    b"truncated \xf0\x9f\x98 emoji", b"lone \x80 continuation \xbf", b"overlong \xc0\xaf \xe0\x80\xaf \xf0\x80\x80\xaf",
    b"surrogate \xed\xa0\x80 \xed\xbf\xbf", b"too high \xf4\x90\x80\x80 \xf8\x88\x80\x80\x80", b"\xff\xfe bom", b"cut at the end \xe4\xbd",
    b"\xe2(\xa1 middle", b"la\xf1tin \xe9t\xe9", b"[CL\xffS] [SE\x80P]", b"\xff", b"ab\xc3", b"caf\xc3\xa9 \xc3\xa9\xa9",
]


ESCAPE = re.compile(r"\\(?:u[0-9a-f]{4}|U[0-9a-f]{8}|x[0-9a-f]{2}|[trn])")


def corpus():
    lines = [ESCAPE.sub(lambda found: found[0].encode().decode("unicode_escape"), line) for line in PLAIN]
    lines += ["", " ", "\n", "a", "[SEP]", "x" * 100, "x" * 101, "é" * 100, "e\u0301" * 101, "a" * 99 + " " + "b" * 300, "word " * 80,
              "😀" * 100, "中" * 120, "!" * 130]
    rng = random.Random(7)
    words = [word for line in lines for word in line.split(" ") if word]
    for _ in range(60):  # words of different lines next to one another
        lines.append("".join(rng.choice(words) + rng.choice([" ", " ", "", "-", "'", "\u00a0", "\u200d"]) for _ in range(rng.randint(1, 12))))
    ranges = [(0x20, 0x7f), (0xa0, 0x250), (0x300, 0x370), (0x370, 0x600), (0x900, 0xe00), (0x1e00, 0x2070), (0x2070, 0x2c00),
              (0x3000, 0x3100), (0x4e00, 0x4f00), (0xac00, 0xad00), (0x1f300, 0x1f650)]
    for _ in range(100):  # any characters, mostly of one script
        low, high = rng.choice(ranges)
        lines.append("".join(chr(rng.randrange(low, high)) if rng.random() < 0.8 else chr(rng.randrange(0x20, 0x7f))
                             for _ in range(rng.randint(1, 24))))
    return [line.encode() for line in lines] + MALFORMED


def main():
    vocabulary = str(folder / "vocab.txt")
    uncased = transformers.BertTokenizer(vocabulary)
    cased = transformers.BertTokenizer(vocabulary, do_lower_case=False)
    entries = []
    for data in corpus():
        text = data.decode("utf-8", errors="replace")
        entry = {"text": text} if text.encode() == data else {"hex": data.hex()}
        entry["uncased"] = uncased(text)["input_ids"]
        entry["cased"] = cased(text)["input_ids"]
        entry["cut_to_12"] = uncased(text, truncation=True, max_length=12)["input_ids"]
        entries.append(entry)
    made_by = {"script": "scripts/golden/wordpiece.py", "transformers": transformers.__version__, "tokenizers": tokenizers.__version__}
    rows = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
    (folder / "wordpiece.json").write_text(f'{{"made_by":{json.dumps(made_by)},\n"entries":[\n{rows}\n]}}\n')
    print(f"{len(entries)} strings")


main()
