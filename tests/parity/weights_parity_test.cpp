// Files as other libraries save them, read into our backbones, and ours in their names (scripts/golden/weights.py).
#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/bert.hpp>
#include <sslmeme/nn/clip.hpp>
#include <sslmeme/nn/resnet.hpp>
#include <sslmeme/nn/vit.hpp>
#include <sslmeme/nn/weights.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "close_to.hpp"
#include "files.hpp"
#include "parity/golden.hpp"
#include "state.hpp"

namespace fs = std::filesystem;
namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using sm::WeightFormat;
using sm::test::AllCloseTo;
using sm::test::by_name;
using sm::test::fp32_deep;
using sm::test::Golden;
using sm::test::same_state;
using sm::test::TemporaryFolder;

namespace {

fs::path file_of(const std::string& name) {
  return fs::path{SSLMEME_TEST_DATA "/parity"} / ("weights_" + name + ".safetensors");
}

const Golden& expected() {
  static const Golden golden{"weights_expected"};
  return golden;
}

sm::ImageEncoder small_vit(std::int64_t num_classes = 0, double norm_eps = 1e-6) {
  const auto vit = sm::make_vit({.image_size = 32,
                                 .patch_size = 8,
                                 .width = 24,
                                 .depth = 2,
                                 .heads = 3,
                                 .num_classes = num_classes,
                                 .norm_eps = norm_eps});
  vit->eval();
  return vit;
}

sm::ImageEncoder small_clip_vit(bool quick_gelu) {
  const auto vit = sm::make_clip_vit({.image_size = 32,
                                      .patch_size = 8,
                                      .width = 24,
                                      .depth = 2,
                                      .heads = 3,
                                      .embed_dim = 12,
                                      .quick_gelu = quick_gelu});
  vit->eval();
  return vit;
}

sm::ImageEncoder small_clip_resnet() {
  const auto resnet =
      sm::make_clip_resnet({.image_size = 32, .blocks = {1, 1, 1, 1}, .width = 2, .heads = 4, .embed_dim = 12});
  resnet->eval();
  return resnet;
}

/// Of basic blocks or of bottlenecks: the golden file that transformers wrote says which.
sm::ImageEncoder small_resnet(const std::string& file, std::int64_t num_classes = 0) {
  const auto resnet = sm::make_resnet({.blocks = {1, 2, 1, 1},
                                       .bottleneck = file == "hugging_face_resnet_bottleneck",
                                       .width = 3,
                                       .num_classes = num_classes});
  resnet->eval();
  return resnet;
}

sm::TextEncoder small_clip_text(bool quick_gelu) {
  const auto text = sm::make_clip_text({.vocabulary_size = 60,
                                        .max_tokens = 10,
                                        .width = 16,
                                        .depth = 2,
                                        .heads = 2,
                                        .embed_dim = 12,
                                        .quick_gelu = quick_gelu});
  text->eval();
  return text;
}

constexpr sm::BertOptions bert_options{
    .vocabulary_size = 60, .max_tokens = 12, .width = 24, .depth = 2, .heads = 3, .mlp_width = 96};

sm::TextEncoder small_bert() {
  const auto bert = sm::make_bert(bert_options);
  bert->eval();
  return bert;
}

sm::TextEncoder small_distilbert() {
  const auto bert = sm::make_distilbert(bert_options);
  bert->eval();
  return bert;
}

void check_images(sm::ImageBackbone& encoder, const std::string& name) {
  CHECK_THAT(encoder.forward(expected()["images"]), AllCloseTo(expected()[name], fp32_deep));
}

void check_clip_texts(sm::TextBackbone& encoder, const std::string& name) {
  const auto tokens = expected()["clip_tokens"];
  CHECK_THAT(encoder.forward(tokens, tokens != 0), AllCloseTo(expected()[name], fp32_deep));
}

void check_texts(sm::TextBackbone& encoder, const std::string& name) {
  CHECK_THAT(encoder.forward(expected()["tokens"], expected()["mask"]), AllCloseTo(expected()[name], fp32_deep));
}

/// What is written under a library's names is what that library wrote, of the names that our module can have.
void check_round_trip(const sm::NamedTensors& written, const std::string& name, std::size_t others) {
  const auto theirs = by_name(sm::read_safetensors(file_of(name)).tensors);
  CHECK(written.size() + others == theirs.size());
  for (const auto& [key, tensor] : written) {
    INFO(key);
    REQUIRE(theirs.contains(key));
    CHECK(torch::equal(theirs.at(key), tensor));
  }
}

}  // namespace

TEST_CASE("torchvision's ViT is read, with and without its classifier, and written as it was") {
  const auto classifier = small_vit(5);
  const auto report = sm::load_weights(file_of("torchvision"), *classifier);
  CHECK(report.format == WeightFormat::torchvision);
  CHECK(report.summary() == "32 tensors from torchvision");
  check_images(*classifier, "torchvision/logits");
  check_round_trip(sm::state_as(*classifier, WeightFormat::torchvision), "torchvision", 0);

  const auto features = small_vit();
  const auto without = sm::load_weights(file_of("torchvision"), *features, sm::without_head());
  CHECK(without.unknown == std::vector<std::string>{"heads.head.bias", "heads.head.weight"});
  check_images(*features, "torchvision");
}

TEST_CASE("torchvision's older names of the MLP are read too") {
  auto older = sm::read_safetensors(file_of("torchvision")).tensors;
  for (auto& [name, tensor] : older) {
    for (const auto& [now, before] : {std::pair{"mlp.0.", "mlp.linear_1."}, std::pair{"mlp.3.", "mlp.linear_2."}}) {
      if (const auto at = name.find(now); at != std::string::npos) name.replace(at, std::string{now}.size(), before);
    }
  }
  const auto vit = small_vit(5);
  CHECK(sm::load_state(*vit, older).matched.size() == 32);
  check_images(*vit, "torchvision/logits");
}

TEST_CASE("transformers' ViT is read by the names of the Hub and by those of its state_dict()") {
  const auto classifier = small_vit(5, 1e-12);
  CHECK(sm::load_weights(file_of("hugging_face_vit"), *classifier).format == WeightFormat::hugging_face);
  check_images(*classifier, "hugging_face_vit/logits");
  check_round_trip(sm::state_as(*classifier, WeightFormat::hugging_face), "hugging_face_vit", 0);

  const auto features = small_vit(0, 1e-12);
  sm::load_weights(file_of("hugging_face_vit"), *features, sm::without_head());
  check_images(*features, "hugging_face_vit");
  const auto report = sm::load_weights(file_of("hugging_face_vit_in_memory"), *features);
  CHECK(report.unused == std::vector<std::string>{"pooler.dense.bias", "pooler.dense.weight"});
  check_images(*features, "hugging_face_vit_in_memory");
}

TEST_CASE("transformers' ResNet is read, bare or below its classifier, and written as it was") {
  const std::string name = GENERATE("hugging_face_resnet_basic", "hugging_face_resnet_bottleneck");
  INFO(name);
  const auto classifier = small_resnet(name, 5);
  const auto report = sm::load_weights(file_of(name), *classifier);
  CHECK(report.format == WeightFormat::hugging_face);
  CHECK(report.prefix == "resnet.");
  check_images(*classifier, name + "/logits");
  check_round_trip(sm::state_as(*classifier, WeightFormat::hugging_face), name, 0);

  const auto features = small_resnet(name);
  const auto without = sm::load_weights(file_of(name), *features, sm::without_head());
  CHECK(without.unknown == std::vector<std::string>{"classifier.1.bias", "classifier.1.weight"});
  check_images(*features, name);

  const auto bare = sm::state_as(*features, WeightFormat::hugging_face),
             again = sm::state_as(*classifier, WeightFormat::hugging_face);
  CHECK(by_name(bare).contains("encoder.stages.1.layers.1.layer.0.convolution.weight"));
  const auto other = small_resnet(name);
  CHECK(sm::load_state(*other, bare).format == WeightFormat::hugging_face);
  CHECK(same_state(*features, *other));

  auto doubled = again;  // 00 is not another way to write 0
  doubled.emplace_back("resnet.encoder.stages.00.layers.0.layer.0.convolution.weight", doubled.front().second);
  CHECK_THROWS_MATCHES(sm::load_state(*classifier, doubled), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("unknown: resnet.encoder.stages.00.")));
}

TEST_CASE("A checkpoint of DINO gives its teacher, and its student when asked") {
  const auto vit = small_vit();
  const auto report = sm::load_weights(file_of("dino"), *vit);
  CHECK(report.format == WeightFormat::dino);
  CHECK(report.prefix == "teacher.backbone.");
  CHECK(report.unknown.empty());
  CHECK(report.unused.size() + report.matched.size() == 71);
  check_images(*vit, "dino/teacher");
  CHECK(sm::load_weights(file_of("dino"), *vit, {.prefix = "student."}).prefix == "student.module.backbone.");
  check_images(*vit, "dino/student");
}

TEST_CASE("Both towers are read out of a whole model of CLIP, and written as one") {
  const TemporaryFolder folder;
  const auto check = [&](const std::string& name, WeightFormat format, bool quick_gelu, std::size_t others) {
    INFO(name);
    const auto images = name == "open_clip_resnet" ? small_clip_resnet() : small_clip_vit(quick_gelu);
    const auto texts = small_clip_text(quick_gelu);
    CHECK(sm::load_weights(file_of(name), *images).format == format);
    CHECK(sm::load_weights(file_of(name), *texts).format == format);
    check_images(*images, name + "/images");
    check_clip_texts(*texts, name + "/texts");
    if (name == "open_clip_custom_text") return;
    const auto scale = by_name(sm::read_safetensors(file_of(name)).tensors).at("logit_scale").item<double>();
    sm::save_clip(folder / "clip.safetensors", *images, *texts, scale, format);
    check_round_trip(sm::read_safetensors(folder / "clip.safetensors").tensors, name, others);
  };
  check("open_clip", WeightFormat::open_clip, false, 3);  // without OpenAI's three numbers
  check("open_clip_custom_text", WeightFormat::open_clip, false, 0);
  check("open_clip_resnet", WeightFormat::open_clip, false, 0);
  check("hugging_face_clip", WeightFormat::hugging_face, true, 0);
}

TEST_CASE("A tower of CLIP is read from a file of its own") {
  const TemporaryFolder folder;
  const auto from = small_clip_vit(false), to = small_clip_vit(false);
  sm::load_weights(file_of("open_clip"), *from);
  sm::save_weights(folder / "visual.safetensors", *from);
  CHECK(sm::load_weights(folder / "visual.safetensors", *to).format == WeightFormat::own);
  CHECK(same_state(*from, *to));
}

TEST_CASE("BERT and DistilBERT are read from below their heads, old names included") {
  const auto bert = small_bert();
  const auto report = sm::load_weights(file_of("bert"), *bert);
  CHECK(report.format == WeightFormat::hugging_face);
  CHECK(report.prefix == "bert.");
  CHECK(report.unused.size() == 8);  // pooler, the head of the masked words, position_ids
  check_texts(*bert, "bert");

  const auto distilbert = small_distilbert();
  CHECK(sm::load_weights(file_of("distilbert"), *distilbert).unused.size() == 5);
  check_texts(*distilbert, "distilbert");
}

TEST_CASE("Every kind of module is told from its file, and reads back what it wrote in every format") {
  /// `told`: as what the names are recognised, where two formats share them.
  const auto check = [](const auto& make, const std::vector<WeightFormat>& formats, WeightFormat told) {
    for (const auto format : formats) {
      CAPTURE(sm::name_of(format));
      const auto from = make(), guessed = make(), named = make();
      for (const auto& [name, tensor] : sm::state_of(*from)) tensor.detach().add_(1);
      const auto file = sm::state_as(*from, format);
      CHECK(sm::load_state(*guessed, file).format == (told == WeightFormat::automatic ? format : told));
      CHECK(same_state(*from, *guessed));
      CHECK(sm::load_state(*named, file, {.format = format}).format == format);
      CHECK(same_state(*from, *named));
    }
  };
  const auto resnet = [] { return sm::make_resnet({.blocks = {1, 1, 1, 1}, .width = 4, .num_classes = 3}); };
  const auto clip_resnet = [] {
    return sm::make_clip_resnet({.image_size = 32, .blocks = {1, 1, 1, 1}, .width = 4, .heads = 4, .embed_dim = 6});
  };
  const auto vit = [] { return small_vit(3); };
  const auto clip_vit = [] { return small_clip_vit(false); };
  const auto clip_text = [] { return small_clip_text(false); };
  using enum WeightFormat;
  check(resnet, {timm, torchvision, own}, timm);
  check(resnet, {hugging_face}, automatic);
  check(vit, {timm, torchvision, hugging_face}, automatic);
  check(clip_resnet, {own, open_clip}, automatic);
  check(clip_vit, {own, open_clip, hugging_face}, automatic);
  check(clip_text, {open_clip, hugging_face}, automatic);
  check(small_bert, {hugging_face, own}, hugging_face);
  check(small_distilbert, {hugging_face, own}, hugging_face);
}

TEST_CASE("A checkpoint of DINO whose teacher stands within DDP gives a ResNet") {
  const auto from = sm::make_resnet({.blocks = {1, 1, 1, 1}, .width = 4});
  const auto to = sm::make_resnet({.blocks = {1, 1, 1, 1}, .width = 4});
  sm::NamedTensors checkpoint{{"teacher.module.head.mlp.0.weight", torch::zeros({2})}};
  for (const auto& [name, tensor] : sm::state_of(*from)) {
    checkpoint.emplace_back("student.module.backbone." + name, torch::zeros_like(tensor));
    checkpoint.emplace_back("teacher.module.backbone." + name, tensor);
  }
  const auto report = sm::load_state(*to, checkpoint);
  CHECK(report.format == WeightFormat::dino);
  CHECK(report.prefix == "teacher.module.backbone.");
  CHECK(same_state(*from, *to));
}

TEST_CASE("The reference page's example loads a classifier into features of another size") {
  const TemporaryFolder folder;
  const auto file = file_of("torchvision");
  const sm::ImageEncoderOptions options{.image_size = 64, .patch_size = 8, .width = 24, .depth = 2};
  // [load]
  const auto vit = sm::image_encoder("vit_tiny_patch16_224", options);
  const auto report = sm::load_weights(file, *vit, sm::without_head({.resample = true}));
  const std::string line = report.summary();
  // [/load]
  CHECK(line ==
        "30 tensors from torchvision; 1 resampled (pos_embed (1, 17, 24) → (1, 65, 24)); 2 left out "
        "(heads.head.bias, heads.head.weight)");
  const auto images = small_clip_vit(false);
  const auto texts = small_clip_text(false);
  const double log_scale = 2.5;
  // [save]
  sm::save_pretrained(folder / "vit.safetensors", *vit, sm::WeightFormat::hugging_face);
  sm::save_clip(folder / "clip.safetensors", *images, *texts, log_scale, sm::WeightFormat::open_clip);
  // [/save]
  CHECK(sm::load_weights(folder / "vit.safetensors", *vit).format == WeightFormat::hugging_face);
  CHECK(sm::load_weights(folder / "clip.safetensors", *texts).format == WeightFormat::open_clip);
}

TEST_CASE("Models of CLIP are written in the formats that have them") {
  const TemporaryFolder folder;
  const auto vit = small_vit();
  const auto images = small_clip_vit(false);
  const auto texts = small_clip_text(false);
  CHECK_THROWS_MATCHES(sm::save_clip(folder / "x.safetensors", *images, *texts, 0, WeightFormat::timm),
                       sm::InvalidArgument, MessageMatches(ContainsSubstring("choose open_clip or hugging_face")));
  CHECK_THROWS_MATCHES(sm::save_clip(folder / "x.safetensors", *vit, *texts, 0), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("weights of open_clip are not known for a ViT")));
  CHECK(folder.entries() == 0);
}

TEST_CASE("Types that LibTorch alone has are read as Python's safetensors wrote them") {
  const auto read = by_name(sm::read_safetensors(file_of("types")).tensors);
  for (const auto& [name, type] :
       {std::pair{"U16", at::kUInt16}, std::pair{"U32", at::kUInt32}, std::pair{"U64", at::kUInt64},
        std::pair{"F8_E4M3", at::kFloat8_e4m3fn}, std::pair{"F8_E5M2", at::kFloat8_e5m2}}) {
    INFO(name);
    CHECK(read.at(name).scalar_type() == type);
    CHECK(torch::equal(read.at(name).to(torch::kDouble), torch::tensor({{0.0, 1.0, 2.0}}, torch::kDouble)));
  }
}

TEST_CASE("Writes what scripts/golden/weights.py --check reads", "[.golden]") {
  const auto folder = fs::temp_directory_path() / "sslmeme_weights";
  fs::create_directories(folder);
  const auto file = [&](const std::string& name) { return folder / (name + ".safetensors"); };
  const auto vit = small_vit(5), headless = small_vit();
  sm::load_weights(file_of("torchvision"), *vit);
  sm::load_weights(file_of("torchvision"), *headless, sm::without_head());
  sm::save_pretrained(file("timm"), *vit, WeightFormat::timm);
  sm::save_pretrained(file("torchvision"), *vit, WeightFormat::torchvision);
  sm::save_pretrained(file("hugging_face_vit"), *vit, WeightFormat::hugging_face);
  sm::save_pretrained(file("hugging_face_vit_bare"), *headless, WeightFormat::hugging_face);
  for (const auto& [name, format, quick] : {std::tuple{"open_clip", WeightFormat::open_clip, false},
                                            std::tuple{"open_clip_resnet", WeightFormat::open_clip, false},
                                            std::tuple{"hugging_face_clip", WeightFormat::hugging_face, true}}) {
    const auto images = std::string{name} == "open_clip_resnet" ? small_clip_resnet() : small_clip_vit(quick);
    const auto texts = small_clip_text(quick);
    sm::load_weights(file_of(name), *images);
    sm::load_weights(file_of(name), *texts);
    sm::save_clip(file(name), *images, *texts, 2.5, format);
  }
  const auto resnet = sm::make_resnet({.blocks = {1, 1, 1, 1}, .num_classes = 5});
  resnet->eval();
  sm::save_pretrained(file("resnet"), *resnet, WeightFormat::torchvision);
  sm::write_safetensors(file("resnet_expected"), {{"logits", resnet->forward(expected()["images"])}});
  for (const std::string name : {"hugging_face_resnet_basic", "hugging_face_resnet_bottleneck"}) {
    const auto classifier = small_resnet(name, 5), features = small_resnet(name);
    sm::load_weights(file_of(name), *classifier);
    sm::load_weights(file_of(name), *features, sm::without_head());
    sm::save_pretrained(file(name), *classifier, WeightFormat::hugging_face);
    sm::save_pretrained(file(name + "_bare"), *features, WeightFormat::hugging_face);
  }
  const auto bert = small_bert(), distilbert = small_distilbert();
  sm::load_weights(file_of("bert"), *bert);
  sm::load_weights(file_of("distilbert"), *distilbert);
  sm::save_pretrained(file("bert"), *bert, WeightFormat::hugging_face);
  sm::save_pretrained(file("distilbert"), *distilbert, WeightFormat::hugging_face);
}
