// embed as a person runs it: the numbers of the library, nothing lost when it is stopped, one line for bad input.
#include <sslmeme/core/files.hpp>
#include <sslmeme/data/image_io.hpp>
#include <sslmeme/data/picture_folder.hpp>
#include <sslmeme/data/views.hpp>
#include <sslmeme/nn/backbone.hpp>
#include <sslmeme/nn/weights.hpp>
#include <sslmeme/text/clip_bpe.hpp>
#include <sslmeme/text/wordpiece.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
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

/// The shorter edge to so many pixels, and of that the middle.
sm::Views centered(int size, int shorter, sm::Interpolation interpolation, const sm::Normalize& normalize) {
  return {{.size = size,
           .transform = sm::Resize{.size = shorter, .interpolation = interpolation} | sm::CenterCrop{.size = size},
           .normalize = normalize}};
}

/// (1, 3, S, S)
Tensor prepared(const sm::Image& picture, const sm::Views& views) {
  sm::Rng rng{0};
  return views[0].normalize(views[0].transform(picture, rng)).unsqueeze(0);
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
  const std::pair<std::string, sm::Views> kinds[] = {
      {"",
       centered(32, 35, sm::Interpolation::bicubic, halves)},  // the file has the module's own names, which are timm's
      {"--preprocess dino", centered(32, 36, sm::Interpolation::bicubic, {})},
      {"--preprocess torchvision", centered(32, 36, sm::Interpolation::bilinear, {})},
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
      const auto row = static_cast<std::int64_t>(i);
      const auto expected = world.vit->forward(prepared(data.get(i).picture, views))[0];
      CHECK_THAT(features[row], AllCloseTo(expected, fp32_deep));
      CHECK(ids[row].item<std::int64_t>() == data.id(i));
    }
  }
  const auto names = tensor_of(out, "names");
  std::string expected;
  for (std::size_t i = 0; i < data.size(); ++i) expected.append(data.name(i)).push_back('\0');
  CHECK(std::string(static_cast<const char*>(names.data_ptr()), names.nbytes()) == expected);
  CHECK_FALSE(fs::exists(world.root / "out.safetensors.part"));
}

TEST_CASE("How pictures are prepared goes by the names in the file, and is told") {
  const World world;
  for (const std::string library : {"torchvision", "dino", "hugging_face"}) {
    INFO(library);
    const auto name = library == "hugging_face" ? "hugging_face_vit" : library;
    const auto told =
        run("embed", "--model " + std::string{small_vit} + " --weights " SSLMEME_TEST_DATA + "/parity/weights_" + name +
                         ".safetensors --images " + (world.root / "pictures").string() + " --out " +
                         (world.root / (library + ".safetensors")).string());
    INFO(told.output);
    CHECK(told.code == 0);
    CHECK_THAT(told.output, ContainsSubstring("tensors from " + library) &&
                                ContainsSubstring("pictures of 32 × 32 pixels, prepared as " + library + " does\n"));
  }
}

TEST_CASE("timm's ResNets see the middle 95 %, and its networks of 384 pixels the whole height") {
  const World world;
  const auto check = [&](const std::string& model, const sm::ImageEncoder& encoder, const sm::Views& views) {
    INFO(model);
    encoder->eval();
    sm::save_weights(world.root / "timm.safetensors", *encoder);
    const auto outcome = run("embed", "--model " + model + " --weights " + (world.root / "timm.safetensors").string() +
                                          " --images " + (world.root / "pictures/deep").string() +
                                          " --overwrite --out " + (world.root / "out.safetensors").string());
    INFO(outcome.output);
    REQUIRE(outcome.code == 0);
    CHECK_THAT(outcome.output, ContainsSubstring("prepared as timm does"));
    const auto features = tensor_of(world.root / "out.safetensors", "embeddings");
    const sm::PictureFolder data{world.root / "pictures/deep"};
    const torch::NoGradGuard no_grad;
    for (std::size_t i = 0; i < data.size(); ++i) {
      const auto expected = encoder->forward(prepared(data.get(i).picture, views));
      CHECK_THAT(features.narrow(0, static_cast<std::int64_t>(i), 1), AllCloseTo(expected, fp32_deep));
    }
  };
  check("resnet18:image_size=76,width=8,depth=1",
        sm::image_encoder("resnet18", {.image_size = 76, .width = 8, .depth = 1, .seed = 7}),
        centered(76, 80, sm::Interpolation::bicubic, {}));
  check("vit_tiny_patch16_384:patch_size=96,width=24,depth=1",
        sm::image_encoder("vit_tiny_patch16_384", {.patch_size = 96, .width = 24, .depth = 1, .seed = 8}),
        centered(384, 384, sm::Interpolation::bicubic, {.mean = {0.5, 0.5, 0.5}, .std = {0.5, 0.5, 0.5}}));
}

TEST_CASE("Both towers of CLIP embed a folder of memes out of one file") {
  const World world;
  fs::create_directories(world.root / "memes/img");
  const std::vector<std::string> texts{"a red rose", "is not blue", "a rose is a rose is a rose"};
  std::string lines;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto number = std::to_string(i);
    write_png(world.root / ("memes/img/" + number + ".png"), sm::test::wave_picture(i, 40, 36));
    lines +=
        R"({"id": )" + number + R"(, "img": "img/)" + number + R"(.png", "label": 0, "text": ")" + texts[i] + "\"}\n";
  }
  world.root.write("memes/train.jsonl", lines);
  const auto merges = world.root.write("merges.txt", "heading\nr o\nro s\nros e</w>\ni s</w>\n");
  const auto tokenizer = sm::ClipBpe::from_file(merges);
  const auto pictures =
      sm::image_encoder("ViT-B-32", {.image_size = 32, .patch_size = 8, .width = 64, .depth = 1, .seed = 9});
  const auto words = sm::text_encoder(
      "ViT-B-32", {.vocabulary_size = tokenizer.vocabulary_size(), .width = 16, .depth = 1, .seed = 10});
  sm::save_clip(world.root / "clip.safetensors", *pictures, *words, 2.66);
  pictures->eval();
  words->eval();
  const auto out = world.root / "out.safetensors";
  const auto embed = [&](const std::string& options, const std::string& more) {
    return run("embed", "--model ViT-B-32:" + options + " --weights " + (world.root / "clip.safetensors").string() +
                            " --data " + (world.root / "memes").string() + " --overwrite --out " + out.string() + more);
  };
  const torch::NoGradGuard no_grad;

  const auto of_pictures = embed("image_size=32,patch_size=8,width=64,depth=1", "");
  INFO(of_pictures.output);
  REQUIRE(of_pictures.code == 0);
  CHECK_THAT(of_pictures.output,
             ContainsSubstring("tensors from open_clip") && ContainsSubstring("prepared as clip does"));
  const auto embedded = tensor_of(out, "embeddings");
  REQUIRE(embedded.sizes() == torch::IntArrayRef({3, 512}));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto picture = sm::read_image(world.root / ("memes/img/" + std::to_string(i) + ".png"));
    CHECK_THAT(embedded.narrow(0, static_cast<std::int64_t>(i), 1),
               AllCloseTo(pictures->forward(prepared(picture, sm::clip_eval({.size = 32}))), fp32_deep));
  }

  const auto of_texts = embed("width=16,depth=1", " --of texts --vocab " + merges.string());
  INFO(of_texts.output);
  REQUIRE(of_texts.code == 0);
  const auto [tokens, mask] = sm::tokenize(tokenizer, texts, sm::ClipBpe::context_length);
  CHECK_THAT(tensor_of(out, "embeddings"), AllCloseTo(words->forward(tokens, mask), fp32_deep));
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

TEST_CASE("Texts go on after the last whole window of a full disk, with batches of another size") {
  const World world;
  const torch::NoGradGuard no_grad;
  const auto [tokens, mask] =
      sm::tokenize(sm::WordPiece::from_vocabulary(world.vocabulary), world.texts, world.bert->max_tokens());
  const auto expected = world.bert->forward(tokens, mask);
  constexpr std::int64_t window = 8 * 7, width = 24;
  constexpr auto head = 2 * sizeof(std::uint32_t), values = sizeof(float) * std::size_t{window * width};

  // No file may pass 16 blocks: the first window's rows fit in, not all of them.
  CHECK(sm::test::run_command("ulimit -c 0; ulimit -f 16; OMP_NUM_THREADS=1 " SSLMEME_PROGRAMS "/embed " +
                              world.of_texts("--batch 7"))
            .code != 0);
  const auto part = sm::test::bytes_of(world.root / "out.safetensors.part");
  const auto rows_at = part.find('\n') + 1;  // behind the line that tells what is embedded
  REQUIRE(part.size() >= rows_at + head + values);
  auto first = torch::empty({window, width});
  std::memcpy(first.data_ptr(), part.data() + rows_at + head, values);
  CHECK_THAT(first, AllCloseTo(expected.narrow(0, 0, window), fp32_deep));

  // Rows that no text gives, in place of the first window's, show that it is not embedded again.
  const auto marked = torch::full({window, width}, 7.0F);
  const std::uint32_t heading[] = {
      static_cast<std::uint32_t>(window),
      sm::digest_of(std::span{static_cast<const std::byte*>(marked.data_ptr()), values}).crc32};
  auto resumable = part.substr(0, rows_at);
  resumable.append(reinterpret_cast<const char*>(heading), sizeof heading);
  resumable.append(static_cast<const char*>(marked.data_ptr()), values);
  resumable += part.substr(rows_at, head + values / 2);  // and the beginning of another window
  world.root.write("out.safetensors.part", resumable);
  const auto resumed = run("embed", world.of_texts("--batch 5"));
  INFO(resumed.output);
  REQUIRE(resumed.code == 0);
  const auto found = tensor_of(world.root / "out.safetensors", "embeddings");
  REQUIRE(found.sizes() == torch::IntArrayRef({300, width}));
  CHECK(torch::equal(found.narrow(0, 0, window), marked));
  const auto left = 300 - window;
  CHECK_THAT(found.narrow(0, window, left), AllCloseTo(expected.narrow(0, window, left), fp32_deep));
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
