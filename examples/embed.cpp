// embed: features of pictures or texts by a pre-trained encoder, in a safetensors file.
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>
#include <sslmeme/core/precision.hpp>
#include <sslmeme/data/loader.hpp>
#include <sslmeme/data/picture_folder.hpp>
#include <sslmeme/nn/weights.hpp>
#include <sslmeme/text/clip_bpe.hpp>
#include <sslmeme/text/wordpiece.hpp>
#include <sslmeme/version.hpp>

#include "support/cli.hpp"
#include "support/reading_bar.hpp"
#include "support/row_store.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <numeric>
#include <optional>
#include <sstream>

namespace {

using namespace examples;

struct Arguments : DataArguments {
  std::string model, weights, prefix, split = "train", images, texts, of, out, vocabulary, preprocess = "auto",
                                      device = "cpu";
  std::vector<std::string> allow_missing, allow_unknown;
  std::int64_t size = 0, batch = 64, max_tokens = 0;
  int workers = 2;
  bool cased = false, normalize = false, bf16 = false, restart = false, overwrite = false;
  std::vector<const CLI::Option*> of_pictures, of_texts;  // of no use for the other
};

void add_options(CLI::App& app, Arguments& a) {
  app.add_option("--model", a.model, "NAME[:key=value,…] of a picture or text encoder, e.g. vit_small_patch16_224")
      ->required();
  app.add_option("--weights", a.weights, "safetensors file of timm, torchvision, open_clip, transformers or DINO")
      ->required();
  auto* input = app.add_option_group("input", "one of")->require_option(1);
  auto* data =
      input->add_option("--data", a.data, "folder of memes, in the Hateful Memes layout or one that --layout names");
  input->add_option("--images", a.images, "folder of pictures, sub-folders included");
  input->add_option("--texts", a.texts, "UTF-8 file with one text a line; a row's id is the line's number, from 0");
  app.add_option("--split", a.split, "split of --data")->needs(data)->capture_default_str();
  app.add_option("--of", a.of, "what of --data, where the model has two towers; without it pictures")
      ->needs(data)
      ->check(CLI::IsMember({"pictures", "texts"}));
  a.add_layout_to(app);
  app.add_option("--out", a.out, "safetensors file to write: embeddings f32 (N, D), ids i64 (N)")->required();
  a.of_texts = {
      app.add_option("--vocab", a.vocabulary, "vocabulary: vocab.txt, or CLIP's merges; .gz too"),
      app.add_flag("--cased", a.cased, "the WordPiece vocabulary has upper case"),
      app.add_option("--max-tokens", a.max_tokens,
                     "longest text in tokens; 0 as the model says, minilm_l6 512 (all-MiniLM-L6-v2 is published "
                     "to cut at 256)")
          ->check(CLI::NonNegativeNumber)
          ->capture_default_str()};
  a.of_pictures = {app.add_option("--preprocess", a.preprocess,
                                  "how pictures are prepared: as clip, dino, hugging_face, timm, torchvision do, or "
                                  "whole (nothing cut off); auto goes by the model and the names in the weights")
                       ->check(CLI::IsMember({"auto", "clip", "dino", "hugging_face", "timm", "torchvision", "whole"}))
                       ->capture_default_str(),
                   app.add_option("--size", a.size, "pixels of both edges; 0 as the model says")
                       ->check(CLI::NonNegativeNumber)
                       ->capture_default_str(),
                   app.add_option("--workers", a.workers, "threads that read pictures")->capture_default_str()};
  app.add_option("--prefix", a.prefix, "of the names in the weights that count, e.g. model.");
  app.add_option("--allow-missing", a.allow_missing, "parameters that the file may lack, e.g. fc_norm.*")
      ->delimiter(',');
  app.add_option("--allow-unknown", a.allow_unknown, "tensors of the file to leave out, e.g. head.*")->delimiter(',');
  app.add_option("--batch", a.batch, "samples a batch")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--device", a.device, "cpu, cuda, cuda:1")->capture_default_str();
  app.add_flag("--normalize", a.normalize, "to unit length");
  app.add_flag("--bf16", a.bf16, "the encoder runs in bfloat16; embeddings are f32 all the same");
  app.add_flag("--restart", a.restart, "throw away what an interrupted run left, where it would go on");
  app.add_flag("--overwrite", a.overwrite, "replace --out if it is there");
  app.footer(
      "Example:\n  embed --model minilm_l6 --weights model.safetensors --vocab vocab.txt --max-tokens 256 --texts "
      "captions.txt --normalize --out captions.safetensors\n"
      "  embed --model ViT-B-32-quickgelu --weights clip.safetensors --vocab bpe_simple_vocab_16e6.txt.gz --data memes "
      "--of texts --out texts.safetensors");
}

/// Whether pictures are embedded, not texts. Throws for a model and an input that do not go together.
bool of_pictures(const Arguments& a) {
  const auto name = bare_name(a.model);
  const auto [reads_pictures, reads_texts] = reads_of(a.model);
  const bool wants_texts =
      !a.texts.empty() || a.of == "texts" || (a.images.empty() && a.of.empty() && reads_texts && !reads_pictures);
  // A name that nobody has is told with the nearest ones.
  const auto registry = sm::BackboneRegistry::built_in();
  if (!reads_texts && !reads_pictures)
    wants_texts ? void(registry.make_text(name, {})) : void(registry.make_image(name, {}));
  if (!(wants_texts ? reads_texts : reads_pictures)) {
    throw sm::InvalidArgument(fmt::format("{} reads {}, the input is {}: choose another --model", name,
                                          reads_texts ? "texts" : "pictures", wants_texts ? "texts" : "pictures"));
  }
  for (const auto* option : wants_texts ? a.of_pictures : a.of_texts) {
    if (option->count() > 0)
      throw sm::InvalidArgument(
          fmt::format("{} is of no use for {}: leave it out", option->get_name(), wants_texts ? "texts" : "pictures"));
  }
  return !wants_texts;
}

void check_out(const Arguments& a) {
  const std::filesystem::path out{a.out}, weights{a.weights};
  std::error_code error;
  if (std::filesystem::equivalent(out, weights, error))
    throw sm::InvalidArgument(fmt::format("--out {} is the file of the weights: give another", a.out));
  check_new_file(out, a.overwrite);
}

/// What is embedded: one row each, in this order.
struct Rows {
  std::vector<std::int64_t> ids;
  std::string names;     ///< of --images: paths, each followed by a zero byte
  std::string identity;  ///< tells these samples from others
};

Rows rows_of(const sm::AnyDataset& data) {
  Rows rows;
  for (std::size_t i = 0; i < data.size(); ++i) {
    rows.ids.push_back(data.id(i));
    rows.identity += fmt::format("{} {}\n", rows.ids.back(), data.source(i));
  }
  return rows;
}

/// Loads the weights; what it did is told on stderr.
template <class Encoder>
sm::LoadReport load(const Arguments& a, Encoder& encoder) {
  const auto options = sm::without_head(
      {.prefix = a.prefix, .allow_missing = a.allow_missing, .allow_unknown = a.allow_unknown, .resample = true});
  try {
    auto report = sm::load_weights(a.weights, encoder, options);
    std::cerr << fmt::format("{}: {}\n", a.weights, report.summary());
    encoder.to(torch::Device{a.device});
    encoder.eval();
    return report;
  } catch (const sm::DataError& error) {
    throw sm::DataError(fmt::format("{} (here: --prefix, --allow-missing, --allow-unknown)", error.what()));
  }
}

/// How the published weights of a library want pictures to be prepared.
std::string preprocessing(const Arguments& a, const sm::LoadReport& report) {
  if (a.preprocess != "auto") return a.preprocess;
  if (is_clip(a.model)) return "clip";
  const auto format = sm::name_of(report.format);
  return format == "own" ? "timm" : std::string{format};
}

sm::Views views(const std::string& kind, const std::string& name, int size) {
  const sm::Normalize halves{.mean = {0.5, 0.5, 0.5}, .std = {0.5, 0.5, 0.5}};
  const bool vit = name.starts_with("vit");
  const auto centered = [&](double crop, sm::Interpolation interpolation, const sm::Normalize& normalize) {
    return sm::Views{{.size = size,
                      .transform = sm::Resize{.size = static_cast<int>(size / crop), .interpolation = interpolation} |
                                   sm::CenterCrop{.size = size},
                      .normalize = normalize}};
  };
  if (kind == "clip") return sm::clip_eval({.size = size});
  // transformers prepares pictures for its ResNets as DINO does.
  if (kind == "dino" || (kind == "hugging_face" && !vit)) return centered(0.875, sm::Interpolation::bicubic, {});
  if (kind == "torchvision") return centered(0.875, sm::Interpolation::bilinear, {});
  if (kind == "hugging_face")
    return {{.size = size, .transform = sm::Resize{.width = size, .height = size}, .normalize = halves}};
  if (kind == "whole") return sm::eval_views({.size = size});
  // timm's crop_pct: 0.9 of its ViTs, all of those of 384 pixels, and 0.95 of its ResNets.
  return vit ? centered(size >= 384 ? 1 : 0.9, sm::Interpolation::bicubic, halves)
             : centered(0.95, sm::Interpolation::bicubic, {});
}

/// Where the rows go while they are made, and what they are of.
RowStore store_of(const Arguments& a, const sm::Backbone& encoder, std::int64_t width, const std::string& kind,
                  const Rows& rows) {
  const auto crc = [](const std::string& text) { return sm::digest_of(std::as_bytes(std::span{text})).crc32; };
  const auto crc_of_file = [](const std::string& file) {
    return file.empty() ? 0 : sm::digest_of(std::filesystem::path{file}).crc32;
  };
  const nlohmann::json identity{{"encoder", nlohmann::json::parse(encoder.description())},
                                {"weights", {crc_of_file(a.weights), a.prefix, a.allow_missing, a.allow_unknown}},
                                {"data", crc(rows.identity)},
                                {"kind", kind},
                                {"vocabulary", {crc_of_file(a.vocabulary), a.cased, a.max_tokens}},
                                {"options", {a.size, a.normalize, a.bf16}}};
  return RowStore{a.out + ".part", identity.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace), width,
                  static_cast<std::int64_t>(rows.ids.size()), a.restart ? FoundRows::start_again : FoundRows::go_on};
}

sm::Tensor finished(const Arguments& a, sm::Tensor features, std::span<const std::int64_t> ids) {
  features = features.to(torch::kCPU, torch::kFloat);
  const auto finite = torch::isfinite(features).all(1);
  for (std::int64_t i = 0; i < features.size(0); ++i) {
    if (!finite[i].item<bool>())
      throw sm::NonFiniteError(
          fmt::format("the embedding of sample {} is not finite: look for damage in the weights, or go without --bf16",
                      ids[static_cast<std::size_t>(i)]));
  }
  return a.normalize ? torch::nn::functional::normalize(features, torch::nn::functional::NormalizeFuncOptions().dim(1))
                     : features;
}

void embed_pictures(const Arguments& a, sm::ImageBackbone& encoder, const sm::AnyDataset& data, const Rows& rows,
                    RowStore& store, const sm::Views& views) {
  std::vector<std::size_t> left(rows.ids.size() - static_cast<std::size_t>(store.rows()));
  if (left.empty()) return;
  std::iota(left.begin(), left.end(), static_cast<std::size_t>(store.rows()));
  sm::DataLoader loader{sm::Subset{data, std::move(left)},
                        views,
                        {.batch_size = a.batch, .workers = a.workers, .shuffle = false, .drop_last = false}};
  const auto bar = reading_bar("embedding", "img");
  loader.start_epoch(0);
  while (const auto batch = loader.next()) {
    sm::Tensor features;
    {
      const sm::Autocast autocast{a.bf16 ? sm::Precision::bf16 : sm::Precision::fp32, torch::Device{a.device}.type()};
      features = encoder.forward(batch->to(torch::Device{a.device}).views.front());
    }
    const auto first = static_cast<std::size_t>(store.rows());
    store.append(finished(a, features, std::span{rows.ids}.subspan(first)));
    if (bar) bar(static_cast<std::size_t>(store.rows()), rows.ids.size());
  }
}

/// Texts of like length go together: a window of batches is sorted, and its rows are put back in order.
void embed_texts(const Arguments& a, sm::TextBackbone& encoder, const sm::Tokenizer& tokenizer,
                 const std::vector<std::string>& texts, const Rows& rows, RowStore& store, std::int64_t max_tokens) {
  constexpr std::int64_t window_batches = 8;
  const auto window = static_cast<std::size_t>(window_batches * a.batch), batch = static_cast<std::size_t>(a.batch);
  const torch::Device device{a.device};
  const auto bar = reading_bar("embedding", "texts");
  while (static_cast<std::size_t>(store.rows()) < texts.size()) {
    const auto first = static_cast<std::size_t>(store.rows());
    const auto n = std::min(window, texts.size() - first);
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), first);
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return texts[i].size(); });
    sm::Tensor features;
    for (std::size_t begin = 0; begin < n; begin += batch) {
      std::vector<std::string> some;
      for (std::size_t i = begin; i < std::min(begin + batch, n); ++i) some.push_back(texts[order[i]]);
      const auto [tokens, mask] = sm::tokenize(tokenizer, some, max_tokens);
      const sm::Autocast autocast{a.bf16 ? sm::Precision::bf16 : sm::Precision::fp32, device.type()};
      const auto of_some = encoder.forward(tokens.to(device), mask.to(device)).to(torch::kCPU, torch::kFloat);
      if (!features.defined()) features = torch::empty({static_cast<std::int64_t>(n), of_some.size(1)});
      for (std::size_t i = 0; i < some.size(); ++i)
        features[static_cast<std::int64_t>(order[begin + i] - first)] = of_some[static_cast<std::int64_t>(i)];
      if (bar) bar(first + begin + some.size(), texts.size());
    }
    store.append(finished(a, features, std::span{rows.ids}.subspan(first)));
  }
}

void write(const Arguments& a, const sm::Backbone& encoder, const Rows& rows, RowStore& store,
           const std::string& kind) {
  sm::NamedTensors tensors{{"embeddings", store.read()}, {"ids", torch::tensor(rows.ids)}};
  if (!rows.names.empty()) {
    auto names = torch::empty({static_cast<std::int64_t>(rows.names.size())}, torch::kByte);
    std::ranges::copy(rows.names, names.data_ptr<std::uint8_t>());
    tensors.emplace_back("names", names);
  }
  sm::write_safetensors(a.out, tensors,
                        {{"made_by", "sslmeme " SSLMEME_VERSION},
                         {"encoder", encoder.description()},
                         {"of", kind},
                         {"normalized", a.normalize ? "true" : "false"}});
  store.remove();
  std::cout << fmt::format("{}: {} embeddings of {} numbers\n", a.out, rows.ids.size(), encoder.feature_dim());
}

void run_pictures(const Arguments& a) {
  const auto encoder = parse_image_encoder(a.model, {.image_size = a.size});
  const auto kind = preprocessing(a, load(a, *encoder));
  const auto size = static_cast<int>(a.size > 0 ? a.size : encoder->image_size());
  std::cerr << fmt::format("pictures of {0} × {0} pixels, prepared as {1} does\n", size, kind);
  std::string names;
  const auto data = [&]() -> sm::AnyDataset {
    if (a.images.empty()) return a.open(a.split);
    const sm::PictureFolder folder{a.images};
    for (std::size_t i = 0; i < folder.size(); ++i) names.append(folder.name(i)).push_back('\0');
    return folder;
  }();
  auto rows = rows_of(data);
  rows.names = std::move(names);
  auto store = store_of(a, *encoder, encoder->feature_dim(), "pictures, " + kind, rows);
  const torch::NoGradGuard no_grad;
  embed_pictures(a, *encoder, data, rows, store, views(kind, bare_name(a.model), size));
  write(a, *encoder, rows, store, "pictures, prepared as " + kind);
}

std::vector<std::string> lines_of(const std::string& file) {
  std::vector<std::string> lines;
  std::istringstream text{sm::read_file(file)};
  for (std::string line; std::getline(text, line);) {
    if (line.ends_with('\r')) line.pop_back();
    lines.push_back(std::move(line));
  }
  if (lines.empty()) throw sm::DataError(fmt::format("{} holds no line: give one text a line", file));
  return lines;
}

void run_texts(const Arguments& a) {
  if (a.vocabulary.empty())
    throw sm::InvalidArgument("a text encoder needs the vocabulary that its weights were trained with: give --vocab");
  const auto tokenizer = [&]() -> std::shared_ptr<const sm::Tokenizer> {
    if (is_clip(a.model)) return std::make_shared<const sm::ClipBpe>(sm::ClipBpe::from_file(a.vocabulary));
    return std::make_shared<const sm::WordPiece>(sm::WordPiece::from_file(a.vocabulary, {.lower_case = !a.cased}));
  }();
  const auto encoder = parse_text_encoder(a.model, {.vocabulary_size = tokenizer->vocabulary_size()});
  load(a, *encoder);
  Rows rows;
  std::vector<std::string> texts;
  if (!a.texts.empty()) {
    texts = lines_of(a.texts);
    rows.ids.resize(texts.size());
    std::iota(rows.ids.begin(), rows.ids.end(), 0);
  } else {
    const auto data = a.open(a.split);
    rows = rows_of(data);
    for (std::size_t i = 0; i < data.size(); ++i) texts.push_back(data.text(i));
  }
  for (const auto& text : texts) rows.identity.append(text).push_back('\n');
  auto store = store_of(a, *encoder, encoder->feature_dim(), "texts", rows);
  const torch::NoGradGuard no_grad;
  const auto longest = a.max_tokens > 0 ? a.max_tokens : encoder->max_tokens();
  embed_texts(a, *encoder, *tokenizer, texts, rows, store, longest);
  write(a, *encoder, rows, store, "texts");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Embeds pictures or texts by a pre-trained encoder. Interrupted, it goes on where it was.", "embed"};
  Arguments a;
  add_options(app, a);
  return run_program(app, argc, argv, [&] {
    const bool pictures = of_pictures(a);
    check_out(a);
    pictures ? run_pictures(a) : run_texts(a);
  });
}
