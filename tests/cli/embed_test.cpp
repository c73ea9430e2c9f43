// embed as a person runs it: the numbers of the library, nothing lost when it is stopped, one line for bad input.
#include <sslmeme/data/image_io.hpp>
#include <sslmeme/data/picture_folder.hpp>
#include <sslmeme/data/views.hpp>
#include <sslmeme/nn/backbone.hpp>
#include <sslmeme/nn/weights.hpp>
#include <sslmeme/text/wordpiece.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/programs.hpp"
#include "close_to.hpp"
#include "files.hpp"
#include "wave_pictures.hpp"

namespace fs = std::filesystem;
namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using sm::Tensor;
using sm::test::AllCloseTo;
using sm::test::check_one_line;
using sm::test::fp32_deep;
using sm::test::run;

namespace {

constexpr const char* small_vit = "vit_tiny_patch16_224:image_size=32,patch_size=8,width=24,depth=2";
constexpr const char* small_bert = "minilm_l6:width=24,depth=2,max_tokens=16";

Tensor tensor_of(const fs::path& file, const char* name) {
  return sm::SafetensorsFile{file}.tensor(name).clone();
}

/// It told of the weights, and then that it cannot go on.
void check_failed(const sm::test::Outcome& outcome, const std::string& part) {
  INFO(outcome.output);
  CHECK(outcome.code == 1);
  CHECK(outcome.lines() == 3);  // what was loaded, how pictures are prepared, what is wrong
  CHECK_THAT(outcome.output, ContainsSubstring("\nembed: ") && ContainsSubstring(part));
}

/// Pictures, texts, and an encoder of each with random weights.
struct World {
  sm::test::TemporaryFolder root;
  sm::ImageEncoder vit = sm::image_encoder("vit_tiny_patch16_224",
                                           {.image_size = 32, .patch_size = 8, .width = 24, .depth = 2, .seed = 5});
  sm::TextEncoder bert;
  std::vector<std::string> vocabulary{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "red", "rose", "is", "not", "blue"};
  std::vector<std::string> texts;

  World() {
    fs::create_directories(root / "pictures/deep");
    for (int i = 0; i < 10; ++i) {
      const auto name = "pictures/" + std::string{i < 4 ? "deep/" : ""} + static_cast<char>('a' + i) + ".png";
      write_png(root / name, sm::test::wave_picture(static_cast<std::uint64_t>(i), 40 + i, 36));
    }
    sm::save_weights(root / "vit.safetensors", *vit);
    for (int i = 0; i < 300; ++i) {
      std::string text = "a red rose";
      for (int more = 0; more < i % 7; ++more) text += more % 2 == 0 ? " is not blue" : " blue";
      texts.push_back(text);
    }
    std::string lines;
    for (const auto& text : texts) lines += text + "\n";
    root.write("texts.txt", lines);
    sm::WordPiece::from_vocabulary(vocabulary).save(root / "vocab.txt");
    bert = sm::text_encoder("minilm_l6", {.vocabulary_size = 10, .max_tokens = 16, .width = 24, .depth = 2, .seed = 6});
    sm::save_weights(root / "bert.safetensors", *bert);
    vit->eval();
    bert->eval();
  }

  std::string of_pictures(const std::string& more) const {
    return "--model " + std::string{small_vit} + " --weights " + (root / "vit.safetensors").string() + " --images " +
           (root / "pictures").string() + " --out " + (root / "out.safetensors").string() + " " + more;
  }
  std::string of_texts(const std::string& more) const {
    return "--model " + std::string{small_bert} + " --weights " + (root / "bert.safetensors").string() + " --texts " +
           (root / "texts.txt").string() + " --vocab " + (root / "vocab.txt").string() + " --out " +
           (root / "out.safetensors").string() + " " + more;
  }
};

}  // namespace

TEST_CASE("Embeddings of pictures are the encoder's features, with ids and names") {
  const World world;
  const sm::Normalize halves{.mean = {0.5, 0.5, 0.5}, .std = {0.5, 0.5, 0.5}};
  const auto centered = [](int shorter, sm::Interpolation interpolation, const sm::Normalize& normalize) {
    return sm::Views{
        {.size = 32,
         .transform = sm::Resize{.size = shorter, .interpolation = interpolation} | sm::CenterCrop{.size = 32},
         .normalize = normalize}};
  };
  const std::pair<std::string, sm::Views> kinds[] = {
      {"", centered(35, sm::Interpolation::bicubic, halves)},  // the file has the module's own names, which are timm's
      {"--preprocess dino", centered(36, sm::Interpolation::bicubic, {})},
      {"--preprocess torchvision", centered(36, sm::Interpolation::bilinear, {})},
      {"--preprocess hugging_face",
       {{.size = 32, .transform = sm::Resize{.width = 32, .height = 32}, .normalize = halves}}},
      {"--preprocess clip", sm::clip_eval({.size = 32})},
      {"--preprocess whole", sm::eval_views({.size = 32})}};
  const auto out = world.root / "out.safetensors";
  const sm::PictureFolder data{world.root / "pictures"};
  const torch::NoGradGuard no_grad;
  for (const auto& [option, views] : kinds) {
    const auto outcome = run("embed", world.of_pictures("--batch 4 --overwrite " + option));
    INFO(outcome.output);
    REQUIRE(outcome.code == 0);
    const auto features = tensor_of(out, "embeddings"), ids = tensor_of(out, "ids");
    REQUIRE(features.sizes() == torch::IntArrayRef({10, 24}));
    for (std::size_t i = 0; i < data.size(); ++i) {
      sm::Rng rng{0};
      const auto picture = views[0].normalize(views[0].transform(data.get(i).picture, rng));
      const auto row = static_cast<std::int64_t>(i);
      CHECK_THAT(features[row], AllCloseTo(world.vit->forward(picture.unsqueeze(0))[0], fp32_deep));
      CHECK(ids[row].item<std::int64_t>() == data.id(i));
    }
  }
  const auto names = tensor_of(out, "names");
  std::string expected;
  for (std::size_t i = 0; i < data.size(); ++i) expected.append(data.name(i)).push_back('\0');
  CHECK(std::string(static_cast<const char*>(names.data_ptr()), names.nbytes()) == expected);
  CHECK_FALSE(fs::exists(world.root / "out.safetensors.part"));
}

TEST_CASE("Pictures and texts of a folder of memes are embedded in its order") {
  const World world;
  fs::create_directories(world.root / "memes/img");
  std::string lines;
  for (int i = 0; i < 5; ++i) {
    write_png(world.root / ("memes/img/" + std::to_string(i) + ".png"),
              sm::test::wave_picture(static_cast<std::uint64_t>(i)));
    lines += R"({"id": )" + std::to_string(40 - i) + R"(, "img": "img/)" + std::to_string(i) +
             R"(.png", "label": 0, "text": "a red rose is not blue"})" + "\n";
  }
  world.root.write("memes/train.jsonl", lines);
  const auto of_memes =
      " --data " + (world.root / "memes").string() + " --out " + (world.root / "memes.safetensors").string();
  const auto pictures = run("embed", "--model " + std::string{small_vit} + " --weights " +
                                         (world.root / "vit.safetensors").string() + of_memes);
  INFO(pictures.output);
  REQUIRE(pictures.code == 0);
  CHECK(torch::equal(tensor_of(world.root / "memes.safetensors", "ids"), torch::tensor({40, 39, 38, 37, 36})));
  const auto texts =
      run("embed", "--model " + std::string{small_bert} + " --weights " + (world.root / "bert.safetensors").string() +
                       " --vocab " + (world.root / "vocab.txt").string() + of_memes + " --overwrite");
  INFO(texts.output);
  REQUIRE(texts.code == 0);
  const auto rows = tensor_of(world.root / "memes.safetensors", "embeddings");
  CHECK(torch::equal(rows[0], rows[4]));
}

TEST_CASE("Embeddings of texts are the encoder's, in the order of the lines, normalised on request") {
  const World world;
  const auto outcome = run("embed", world.of_texts("--batch 7 --normalize"));
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  const torch::NoGradGuard no_grad;
  const auto [tokens, mask] =
      sm::tokenize(sm::WordPiece::from_vocabulary(world.vocabulary), world.texts, world.bert->max_tokens());
  const auto expected = world.bert->forward(tokens, mask);
  CHECK_THAT(tensor_of(world.root / "out.safetensors", "embeddings"),
             AllCloseTo(expected / expected.norm(2, 1, true), fp32_deep));
  CHECK(torch::equal(tensor_of(world.root / "out.safetensors", "ids"), torch::arange(300)));

  const auto half = run("embed", world.of_texts("--bf16 --overwrite"));
  INFO(half.output);
  REQUIRE(half.code == 0);
  CHECK_THAT(tensor_of(world.root / "out.safetensors", "embeddings"), AllCloseTo(expected, {2e-2, 2e-2}));
}

TEST_CASE("What was embedded before a stop is not embedded again") {
  const World world;
  const auto out = world.root / "out.safetensors", part = world.root / "out.safetensors.part";
  REQUIRE(run("embed", world.of_pictures("--batch 4")).code == 0);
  const auto whole = sm::test::bytes_of(out);
  fs::remove(out);

  // A picture that cannot be read stops the run in the last batch, of two; eight are kept.
  const auto picture = world.root / "pictures/j.png";
  const auto bytes = sm::test::bytes_of(picture);
  world.root.write("pictures/j.png", "damaged");
  check_failed(run("embed", world.of_pictures("--batch 4")), "j.png");
  CHECK_FALSE(fs::exists(out));
  REQUIRE(fs::exists(part));
  const auto kept = sm::test::bytes_of(part);
  world.root.write("pictures/j.png", bytes);
  // It goes on: what is done is not read again, so a picture of it may be damaged by now.
  const auto first = world.root / "pictures/deep/a.png";
  const auto of_first = sm::test::bytes_of(first);
  world.root.write("pictures/deep/a.png", "damaged");
  std::string batch = "--batch 4";

  SECTION("as it was") {}
  SECTION("with batches of another size") {
    batch = "--batch 3";
  }
  SECTION("and the machine lost the end of the last chunk") {
    fs::resize_file(part, fs::file_size(part) - 5);
  }
  SECTION("and the machine made it longer than what was written") {
    fs::resize_file(part, fs::file_size(part) + 64);
  }
  SECTION("and there was no room for the result") {
    fs::create_directory(out);
    CHECK(run("embed", world.of_pictures(batch)).code == 1);
    fs::remove(out);
  }
  const auto resumed = run("embed", world.of_pictures(batch));
  INFO(resumed.output);
  REQUIRE(resumed.code == 0);
  CHECK((sm::test::bytes_of(out) == whole));  // in parentheses: the bytes are not to be printed
  CHECK_FALSE(fs::exists(part));

  world.root.write("pictures/deep/a.png", of_first);
  fs::remove(out);
  world.root.write("out.safetensors.part", kept);
  check_failed(run("embed", world.of_pictures("--normalize")), "holds embeddings of other data, weights or options");
  fs::rename(world.root / "pictures", world.root / "others");
  fs::copy(world.root / "others", world.root / "pictures", fs::copy_options::recursive);
  CHECK(run("embed", world.of_pictures("--normalize --restart")).code == 0);
}

TEST_CASE("embed says in one line what cannot be embedded") {
  const World world;
  const auto wrong = [&](const std::string& arguments, const std::string& part) {
    check_one_line(run("embed", arguments), "embed", part);
  };
  wrong("--model vit_tiny_patch16_224 --weights " + (world.root / "away.safetensors").string() + " --images " +
            (world.root / "pictures").string() + " --out x",
        "away.safetensors");
  wrong("--model resnet18 --weights " + (world.root / "vit.safetensors").string() + " --images " +
            (world.root / "pictures").string() + " --out x",
        "--allow-missing");
  wrong(world.of_texts("--preprocess clip"), "--preprocess is of no use for texts");
  wrong(world.of_pictures("--vocab x"), "--vocab is of no use for pictures");
  world.root.write("out.safetensors", "mine");
  wrong(world.of_pictures(""), "--overwrite");
  CHECK(sm::test::bytes_of(world.root / "out.safetensors") == "mine");
  CHECK(run("embed", world.of_pictures("--of texts")).code == 2);
  wrong("--model resnet18 --weights x --texts y --out z", "resnet18 reads pictures, the input is texts");
  wrong("--model minilm_l6 --weights x --texts y --out z", "--vocab");
  wrong("--model minilm_l7 --weights x --texts y --vocab " + (world.root / "vocab.txt").string() + " --out z",
        "did you mean");
  wrong("--model resnet18:depth=1.5 --weights x --images y --out z", "has no value that depth takes");
  CHECK(run("embed", "--model resnet18 --weights x --out z").code == 2);
}
