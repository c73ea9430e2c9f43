// Makes a folder of memes in the Hateful Memes layout whose label needs the picture and the words.
#include "made_memes/made_memes.hpp"

#include <sslmeme/core/error.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <unistd.h>
#include <cstdio>
#include <exception>
#include <string>

namespace sm = sslmeme;

namespace {

void show_progress(int done, int total) {
  if (done == total || done % 50 == 0)
    fmt::print(stderr, "\r{} of {} pictures{}", done, total, done == total ? "\n" : "");
}

void print_report(const sm::MakeMemesReport& report) {
  fmt::print("{:<18}{:>7}{:>10}{:>10}{:>10}\n", report.folder.string(), "lines", "harmful", "pictures", "captions");
  for (const auto& file : report.files) {
    const bool labelled = file.harmful > 0;
    fmt::print("{:<18}{:>7}{:>10}{:>10}{:>10}\n", file.name, file.lines, labelled ? std::to_string(file.harmful) : "-",
               file.pictures, file.captions);
  }
  if (report.sequences_left_out + report.glyphs_left_out > 0) {
    fmt::print("pairs leave out {} emoji that are sequences of code points and {} that the font lacks\n",
               report.sequences_left_out, report.glyphs_left_out);
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Makes a folder of memes in the Hateful Memes layout whose label needs the picture and the words.\n"
      "A proxy for the real task: it contains no hate speech."};
  app.footer("Example: make_memes data/memes --count 3000 --size 64 --seed 7");
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return fmt::format("make_memes: {}; --help lists the options\n", error.what());
  });
  app.option_defaults()->always_capture_default();
  std::string out;
  sm::MakeMemesOptions options;
  auto emoji_font = options.emoji_font.string(), names = options.emoji_names.string(),
       letters = options.caption_font.string();
  app.add_option("OUT", out, "folder to make")->required();
  app.add_option("--count", options.train, "memes in train; this and the next four are multiples of four");
  app.add_option("--dev", options.dev_seen, "memes in dev_seen");
  app.add_option("--test", options.test_seen, "memes in test_seen");
  app.add_option("--dev-unseen", options.dev_unseen, "memes in dev_unseen");
  app.add_option("--test-unseen", options.test_unseen, "memes in test_unseen");
  app.add_option("--unlabelled", options.unlabelled,
                 "memes as they are found, any number, without labels, to pre-train on");
  app.add_option("--harmful-share", options.harmful_share, "share of the unlabelled ones that is harmful, 0 to 1");
  app.add_option("--size", options.size, "edge of the pictures in pixels");
  app.add_option("--seed", options.seed, "the same seed and options give the same bytes");
  app.add_option("--label-noise", options.label_noise, "share of train's labels to flip, 0 to 1");
  app.add_flag("--draw-captions", options.draw_captions, "write the captions onto the pictures");
  app.add_flag("--pairs", options.pairs, "also make pictures of all emoji with their names, for pre-training");
  app.add_option("--classes", options.classes,
                 "also pictures of each emoji, in emoji/train, and a third as many in emoji/test: to measure encoders");
  app.add_flag("--overwrite", options.overwrite, "replace a folder that make_memes made before");
  app.add_option("--threads", options.threads, "threads; 0: one a core");
  app.add_option("--emoji-font", emoji_font, "NotoColorEmoji.ttf");
  app.add_option("--emoji-names", names, "Unicode's emoji-test.txt");
  app.add_option("--caption-font", letters, "DejaVuSans-Bold.ttf");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  options.emoji_font = emoji_font;
  options.emoji_names = names;
  options.caption_font = letters;
  try {
    print_report(sm::make_memes(out, options, isatty(STDERR_FILENO) != 0 ? show_progress : sm::MakeMemesProgress{}));
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "make_memes: {}\n", error.what());
    return 1;
  }
}
