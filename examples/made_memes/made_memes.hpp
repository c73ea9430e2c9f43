// Made memes: a data set in the Hateful Memes layout that everybody can make, whose label needs the picture and the
// words.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace sslmeme {

/// Where the programs that were built look for fonts and names: found when the build was configured.
std::filesystem::path default_emoji_font();
std::filesystem::path default_emoji_names();
std::filesystem::path default_caption_font();

struct MakeMemesOptions {
  int train = 3000;            ///< memes of each split; every count a positive multiple of four
  int dev_seen = 400;          ///< known pictures and captions, in pairs that train does not have
  int test_seen = 800;         ///< the same, in pairs that neither has
  int dev_unseen = 200;        ///< held-out pictures and captions
  int test_unseen = 400;       ///< held-out pictures and captions, not those captions
  int unlabelled = 0;          ///< memes as they are found, without labels, to pre-train on; of train's pairs
  double harmful_share = 0.1;  ///< of the unlabelled ones; 0 to 1
  int size = 128;              ///< edge of the square pictures in pixels, 16 to 4096
  std::uint64_t seed = 1;      ///< the same seed and options give the same bytes
  double label_noise = 0;      ///< share of train's labels that are flipped, 0 to 1
  bool draw_captions = false;  ///< write the caption onto the picture
  bool pairs = false;          ///< also make pictures of all emoji with their names, for pre-training
  int classes = 0;             ///< pictures of each emoji to train a classifier on, and a third as many to test it
  bool overwrite = false;      ///< replace a folder that make_memes made before
  int threads = 0;             ///< 0: as many as the machine has cores; no effect on the bytes
  std::filesystem::path emoji_font = default_emoji_font();      ///< NotoColorEmoji.ttf
  std::filesystem::path emoji_names = default_emoji_names();    ///< Unicode's emoji-test.txt, read for pairs only
  std::filesystem::path caption_font = default_caption_font();  ///< DejaVuSans-Bold.ttf, read for draw_captions only
};

/// What is in one file.
struct MadeFile {
  std::string name;  ///< e.g. "train.jsonl"
  int lines = 0;     ///< of a folder, such as "emoji/train": pictures
  int harmful = 0;   ///< as labelled, noise included
  int pictures = 0;  ///< different emoji
  int captions = 0;  ///< different texts
};

struct MakeMemesReport {
  std::filesystem::path folder;
  std::vector<MadeFile> files;
  int sequences_left_out = 0;  ///< emoji of Unicode's list that pairs lack: sequences of code points
  int glyphs_left_out = 0;     ///< emoji of Unicode's list that pairs lack: not in the font
};

/// Called on the caller's thread now and then, and once with done == total.
using MakeMemesProgress = std::function<void(int done, int total)>;

/// Writes OUT/img/NNNNN.png, OUT/train.jsonl, dev_seen.jsonl, test_seen.jsonl, dev_unseen.jsonl, test_unseen.jsonl
/// (with unlabelled also unlabelled.jsonl, with pairs OUT/pairs/NNNNN.png and pairs.jsonl; with classes also
/// OUT/emoji/train/EMOJI/NNN.png and emoji/test, EMOJI a code point: the layout of ImageFolder) and OUT/README.md.
///
/// Everything is written into a folder beside OUT, which takes its name at the end: on an exception OUT is as it was.
/// Throws InvalidArgument for options that cannot work; IoError if OUT is a file, is not empty (unless `overwrite` is
/// set and make_memes made it), cannot be written, or a font or the list of names is missing; DataError if one of those
/// cannot be used.
MakeMemesReport make_memes(const std::filesystem::path& out, const MakeMemesOptions& options = {},
                           const MakeMemesProgress& progress = {});

}  // namespace sslmeme
