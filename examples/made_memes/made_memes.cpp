#include "made_memes.hpp"

#include "output_folder.hpp"
#include "parallel.hpp"
#include "plan.hpp"
#include "render.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/data/image_io.hpp>
#include <sslmeme/version.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <map>
#include <mutex>
#include <set>
#include <string_view>

namespace sslmeme {
namespace {

constexpr std::string_view readme_title = "# Made memes";

/// A picture to be made and its line in a split's file.
struct Job {
  char32_t emoji = 0;
  std::string picture;  ///< relative to the folder
  std::string_view text;
  std::uint64_t seed = 0;
  Scene scene = Scene::painted;
};

struct Work {
  std::vector<Job> jobs;
  std::map<std::string, std::string> files;  ///< JSONL by name
  MakeMemesReport report;
};

int count_of(Split split, const MakeMemesOptions& options) {
  switch (split) {
    case Split::train:
      return options.train;
    case Split::dev_seen:
      return options.dev_seen;
    case Split::test_seen:
      return options.test_seen;
    case Split::dev_unseen:
      return options.dev_unseen;
    case Split::test_unseen:
      return options.test_unseen;
  }
  return 0;
}

void check(const MakeMemesOptions& options) {
  if (options.size < 16 || options.size > 4096)
    throw InvalidArgument(fmt::format("pictures of {} pixels cannot be made: give 16 to 4096", options.size));
  if (options.threads < 0)
    throw InvalidArgument(fmt::format("{} threads cannot work: give 1 or more, or 0 for one a core", options.threads));
  if (options.classes < 0 || (options.classes > 0 && options.classes < 3))
    throw InvalidArgument(fmt::format("{} pictures of each emoji: give 3 or more, or 0 for none", options.classes));
  check_harmful_share(options.harmful_share);
}

/// A file of memes; without `labels` nobody reads off it what is harmful.
void add_memes(Work& work, std::string_view name, const std::vector<PlannedMeme>& plan, bool labels,
               std::uint64_t seed) {
  MadeFile file{.name = fmt::format("{}.jsonl", name), .lines = static_cast<int>(plan.size())};
  std::set<char32_t> pictures;
  std::set<std::string_view> captions;
  auto& lines = work.files[file.name];
  for (const auto& meme : plan) {
    const auto id = work.jobs.size() + 1;
    Job job{meme.emoji(), fmt::format("img/{:05}.png", id), meme.text(), derive_seed({seed, 3, id})};
    nlohmann::ordered_json line{{"id", id}, {"img", job.picture}};
    if (labels) line["label"] = meme.label;
    line["text"] = job.text;
    lines += line.dump() + '\n';
    if (labels) file.harmful += meme.label;
    pictures.insert(job.emoji);
    captions.insert(job.text);
    work.jobs.push_back(std::move(job));
  }
  file.pictures = static_cast<int>(pictures.size());
  file.captions = static_cast<int>(captions.size());
  work.report.files.push_back(std::move(file));
}

void add_pairs(Work& work, const EmojiFont& font, const EmojiNames& emoji, std::uint64_t seed) {
  MadeFile file{.name = "pairs.jsonl"};
  auto& lines = work.files[file.name];
  for (const auto& [code, name] : emoji.names) {
    if (!font.sprite(code)) {
      ++work.report.glyphs_left_out;
      continue;
    }
    const auto id = static_cast<std::uint64_t>(++file.lines);
    Job job{code, fmt::format("pairs/{:05}.png", id), {}, derive_seed({seed, 4, id})};
    lines += nlohmann::ordered_json{{"id", id}, {"img", job.picture}, {"text", name}}.dump() + '\n';
    work.jobs.push_back(std::move(job));
  }
  file.pictures = file.captions = file.lines;
  work.report.sequences_left_out = emoji.sequences;
  work.report.files.push_back(std::move(file));
}

/// Pictures of every emoji of the topics, one folder each.
void add_classes(Work& work, int pictures, std::uint64_t seed) {
  std::set<char32_t> all;
  for (const auto& family : families()) {
    for (const auto pole : {Pole::good, Pole::bad})
      all.insert(family.pictures(pole).begin(), family.pictures(pole).end());
  }
  std::uint64_t number = 0;
  for (const auto& [name, count] : {std::pair{"emoji/train", pictures}, std::pair{"emoji/test", pictures / 3}}) {
    for (const auto emoji : all) {
      for (int i = 0; i < count; ++i) {
        work.jobs.push_back({emoji,
                             fmt::format("{}/{:x}/{:03}.png", name, static_cast<std::uint32_t>(emoji), i),
                             {},
                             derive_seed({seed, 5, number++}),
                             Scene::blank});
      }
    }
    work.report.files.push_back(
        {.name = name, .lines = count * static_cast<int>(all.size()), .pictures = static_cast<int>(all.size())});
  }
}

bool has_labels(const MadeFile& file) {
  return file.harmful > 0;
}

std::string readme(const MakeMemesOptions& options, const MakeMemesReport& report) {
  auto text = fmt::format(
      R"({}

A data set in the layout of the Hateful Memes challenge (Kiela et al. 2020, arXiv:2005.04790), made by `make_memes` of
sslmeme {}. **It is a proxy**: it has the structure of the real task, that neither the picture nor the words alone
tell the label, and it is not the real task. It contains no hate speech: labels say whether the words under the picture
would be a compliment (0) or a tease (1).

Made with: seed {}, {} x {} pixels, label noise {} (train only), captions {}.

| file | lines | labelled 1 | different pictures | different captions |
|---|---|---|---|---|
)",
      readme_title, SSLMEME_VERSION, options.seed, options.size, options.size, options.label_noise,
      options.draw_captions ? "drawn onto the pictures" : "not drawn onto the pictures");
  for (const auto& file : report.files) {
    const auto harmful = has_labels(file) ? std::to_string(file.harmful) : std::string{"no labels"};
    text += fmt::format("| {} | {} | {} | {} | {} |\n", file.name, file.lines, harmful, file.pictures, file.captions);
  }
  text += fmt::format(R"(
How: {} topics, each with {} pictures of a good and {} of a bad pole and {} captions that affirm ("this is you on the track") and {}
that deny ("you will never run like this"). Label 1 = affirmed bad or denied good. Before label noise, every picture and every
caption is labelled 1 exactly as often as 0 in each of these splits. dev_seen and test_seen hold known pictures and captions in pairs that
train does not have; dev_unseen and test_unseen hold pictures and captions that train does not have.
)",
                      families().size(), pictures_a_pole, pictures_a_pole, captions_a_kind, captions_a_kind);
  if (options.unlabelled > 0) {
    text += fmt::format(R"(
unlabelled.jsonl: memes as they are found, to pre-train on: pairs of train, of which a share of {} would be labelled 1. Neither the
picture nor the caption alone tells which; the labelled splits are chosen, as benchmarks are, so that harmful and harmless are as many.
)",
                        options.harmful_share);
  }
  if (options.pairs) {
    text += fmt::format(R"(
pairs.jsonl: one picture of every emoji of Unicode's list that is a single code point, with its name, the pictures of the unseen splits
among them. Left out: {} emoji that are sequences (flags, skin tones, families) and {} that the font lacks.
)",
                        report.sequences_left_out, report.glyphs_left_out);
  }
  if (options.classes > 0) {
    text += R"(
emoji/train and emoji/test: a folder for every emoji of the topics, with pictures of it on white: how well an encoder tells them apart, by
its nearest neighbours say, shows what it learned.
)";
  }
  text += R"(
Pictures: emoji of the Noto Color Emoji font (Google, SIL Open Font License 1.1) on backgrounds made from noise. Names: Unicode's
emoji-test.txt (Unicode License).
)";
  if (options.draw_captions) text += "Letters: DejaVu Sans Bold (Bitstream Vera licence).\n";
  return text;
}

/// Everything that drawing shares, read-only or guarded.
class Studio {
 public:
  Studio(const Work& work, EmojiFont& font, const MakeMemesOptions& options) : font_{font}, size_{options.size} {
    for (const auto& family : families()) {
      for (const auto pole : {Pole::good, Pole::bad}) {
        for (const auto emoji : family.pictures(pole)) sprites_.try_emplace(emoji, load(emoji));
      }
    }
    if (!options.draw_captions) return;
    const CaptionFont letters{options.caption_font};
    for (const auto& job : work.jobs) {
      if (!job.text.empty() && !captions_.contains(job.text))
        captions_.try_emplace(job.text, letters.draw(job.text, size_));
    }
  }

  Image draw(const Job& job) {
    Rng rng{job.seed};
    const auto caption = captions_.find(job.text);
    const auto* mask = caption == captions_.end() ? nullptr : &caption->second;
    if (const auto known = sprites_.find(job.emoji); known != sprites_.end())
      return render_picture(known->second, mask, size_, rng, job.scene);
    const auto sprite = [&] {
      const std::lock_guard lock{font_mutex_};
      return load(job.emoji);
    }();
    return render_picture(sprite, mask, size_, rng, job.scene);
  }

 private:
  SpritePyramid load(char32_t emoji) const {
    auto sprite = font_.sprite(emoji);
    if (!sprite) {
      throw DataError(
          fmt::format("the emoji font has no picture of U+{:04X}: give a newer NotoColorEmoji.ttf (Debian's "
                      "fonts-noto-color-emoji)",
                      static_cast<std::uint32_t>(emoji)));
    }
    return SpritePyramid{std::move(*sprite)};
  }

  std::mutex font_mutex_;
  EmojiFont& font_;
  int size_;
  std::map<char32_t, SpritePyramid> sprites_;
  std::map<std::string_view, CaptionMask> captions_;
};

}  // namespace

std::filesystem::path default_emoji_font() {
  return MADE_MEMES_EMOJI_FONT;
}
std::filesystem::path default_emoji_names() {
  return MADE_MEMES_EMOJI_NAMES;
}
std::filesystem::path default_caption_font() {
  return MADE_MEMES_CAPTION_FONT;
}

MakeMemesReport make_memes(const std::filesystem::path& out, const MakeMemesOptions& options,
                           const MakeMemesProgress& progress) {
  check(options);
  Work work;
  for (const auto split : all_splits) {
    const auto noise = split == Split::train ? options.label_noise : 0;
    add_memes(work, split_name(split), plan_split(split, count_of(split, options), options.seed, noise), true,
              options.seed);
  }
  if (options.unlabelled != 0) {
    add_memes(work, "unlabelled", plan_pool(options.unlabelled, options.harmful_share, options.seed), false,
              options.seed);
  }
  EmojiFont font{options.emoji_font};
  if (options.pairs) add_pairs(work, font, read_emoji_names(options.emoji_names), options.seed);
  if (options.classes > 0) add_classes(work, options.classes, options.seed);
  Studio studio{work, font, options};

  OutputFolder folder{out, options.overwrite, readme_title};
  const auto make_picture = [&](int i) {
    const auto& job = work.jobs[static_cast<std::size_t>(i)];
    const auto png = encode_png(studio.draw(job));
    folder.write(job.picture, {reinterpret_cast<const char*>(png.data()), png.size()});
  };
  parallel_for(static_cast<int>(work.jobs.size()), options.threads, make_picture, progress);
  for (const auto& [name, lines] : work.files) folder.write(name, lines);
  folder.write("README.md", readme(options, work.report));
  folder.commit();
  work.report.folder = out;
  return work.report;
}

}  // namespace sslmeme
