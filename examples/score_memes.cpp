// score_memes: the probability that each meme of a folder is harmful, by a fine-tuned run, and why.
#include <sslmeme/core/error.hpp>
#include <sslmeme/data/picture_folder.hpp>
#include <sslmeme/eval/meme_scorer.hpp>
#include <sslmeme/train/stopping.hpp>

#include "support/cli.hpp"
#include "support/score_stream.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <iostream>
#include <optional>

namespace {

using namespace examples;

constexpr int exit_unreadable = 3;

struct Arguments : DataArguments {
  std::string model, images, split = "test_seen", out;
  sm::ScorerOptions scorer;
  sm::ExplainOptions explain;
  std::int64_t batch = 32;
  int workers = 2;
  std::optional<double> threshold;
  bool ocr = false, why = false, bf16 = false, overwrite = false;
};

void add_options(CLI::App& app, Arguments& a) {
  app.add_option("--model", a.model, "run directory of finetune")->required();
  auto* input = app.add_option_group("input", "one of")->require_option(1);
  auto* data =
      input->add_option("--data", a.data, "folder of memes, in the Hateful Memes layout or one that --layout names");
  input->add_option("--images", a.images, "folder of pictures, sub-folders included");
  app.add_option("--split", a.split, "split of --data")->needs(data)->capture_default_str();
  a.add_layout_to(app);
  app.add_option("--out", a.out, "file to write, one line of JSON a meme")->required();
  app.add_flag("--ocr", a.ocr, "read the words off pictures that come without a text");
  auto* why = app.add_flag("--why", a.why, "lines tell what the verdict hangs on: attention and occlusion; slow");
  app.add_option("--grid", a.explain.grid, "--why occludes so many cells in a row and in a column")
      ->needs(why)
      ->capture_default_str();
  app.add_option("--nearest", a.scorer.nearest, "labelled memes told with each verdict")->capture_default_str();
  app.add_option("--threshold", a.threshold, "harmful from this probability on; without it as tuned on dev")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--batch", a.batch, "memes a batch")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--workers", a.workers, "threads that read memes")->capture_default_str();
  app.add_option("--device", a.scorer.device, "cpu, cuda, cuda:1")->capture_default_str();
  app.add_flag("--bf16", a.bf16, "encoders run in bfloat16");
  app.add_flag("--overwrite", a.overwrite, "replace --out if it is there");
  app.footer(
      "Memes that cannot be read are listed with the reason in OUT.unreadable.jsonl; the exit code is then 3.\n\n"
      "Example:\n  score_memes --model runs/judge --data memes --split test_seen --out scores.jsonl\n"
      "  score_memes --model runs/judge --images downloads --ocr --out scores.jsonl");
}

/// What --data or --images names.
ScoreStream input_of(const Arguments& a, const sm::MemeScorer& scorer) {
  if (a.images.empty()) {
    auto lenient = static_cast<DataArguments>(a);
    lenient.check_pictures = false;  // a missing picture is one meme's trouble
    return {.data = lenient.open(a.split)};
  }
  const sm::PictureFolder pictures{a.images};
  if (scorer.reads_words() && !a.ocr)
    std::cerr << "score_memes: the classifier reads words, these memes have none: --ocr reads them off the pictures\n";
  return {.data = pictures, .picture_name = [pictures](std::size_t i) { return pictures.name(i); }};
}

ScoreStream stream_of(const Arguments& a, const sm::MemeScorer& scorer) {
  if (a.ocr && !scorer.reads_words())
    throw sm::InvalidArgument("--ocr is of no use for a classifier that reads no words: leave it out");
  auto stream = input_of(a, scorer);
  if (a.ocr) stream.words.emplace();
  if (a.why) stream.why = a.explain;
  stream.batch = a.batch;
  stream.workers = a.workers;
  return stream;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Scores memes by a fine-tuned classifier.", "score_memes"};
  Arguments a;
  add_options(app, a);
  Scored scored;
  const int code = run_program(app, argc, argv, [&] {
    check_new_file(a.out, a.overwrite);
    a.scorer.threshold = a.threshold;
    a.scorer.precision = a.bf16 ? sm::Precision::bf16 : sm::Precision::fp32;
    const sm::MemeScorer scorer{a.model, a.scorer};
    if (const auto& note = scorer.settings().temperature_note; !note.empty())
      std::cerr << "score_memes: probabilities are as the classifier gives them: " << note << '\n';
    const sm::SignalWatch watch;
    scored = score_stream(scorer, stream_of(a, scorer), a.out);
    std::cout << fmt::format("{} memes scored in {:.1f} s ({:.1f} a second), {} harmful\n", scored.memes,
                             scored.seconds, static_cast<double>(scored.memes) / scored.seconds, scored.harmful);
    if (scored.unreadable > 0)
      std::cerr << fmt::format("score_memes: {} memes could not be read: {} tells which and why\n", scored.unreadable,
                               unreadable_file(a.out).string());
  });
  return code == 0 && scored.unreadable > 0 ? exit_unreadable : code;
}
