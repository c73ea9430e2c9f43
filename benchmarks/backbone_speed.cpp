// What encoders and tokenizers cost by themselves, no data and no trainer:
//   backbone_speed encode NAME infer|train fp32|bf16 BATCH SECONDS   a picture or text encoder of the registry by its
//                                                                    name ("ViT-B-32 text" for CLIP's words)
//   backbone_speed tokenize clip|wordpiece VOCABULARY TEXTS SECONDS  one text a line
//   backbone_speed product fp32|bf16 SECONDS                         the machine's best matrix product
// Prints the seconds of each turn, after turns that warm up. train: forward, backward and a step of AdamW under
// autocast; infer: forward alone, the weights in bf16 where asked for. Texts have 10 to 18 tokens, as captions of
// twelve words do. Its peer and driver is benchmarks/peers/compare_backbones.py.
#include <sslmeme/sslmeme.hpp>

#include <chrono>
#include <fstream>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

namespace sm = sslmeme;

namespace {

void time_turns(double seconds, const std::function<void()>& turn) {
  using Clock = std::chrono::steady_clock;
  for (int warmup = 0; warmup < 2; ++warmup) turn();
  const auto began = Clock::now();
  for (auto last = began; last - began < std::chrono::duration<double>(seconds);) {
    turn();
    const auto now = Clock::now();
    std::cout << std::chrono::duration<double>(now - last).count() << '\n';
    last = now;
  }
}

/// (N, L) captions: 10 to 18 tokens, zeros behind; the last token has CLIP's highest id.
sm::TokenBatch captions(std::int64_t batch, std::int64_t vocabulary) {
  const auto lengths = torch::arange(batch).remainder(9) + 10;
  const auto columns = torch::arange(18);
  const auto mask = columns.unsqueeze(0).lt(lengths.unsqueeze(1));
  auto tokens = torch::randint(1, vocabulary - 1, {batch, 18}).mul(mask);
  tokens.scatter_(1, (lengths - 1).unsqueeze(1), vocabulary - 1);
  return {tokens, mask};
}

template <class Forward>
void encode(torch::nn::Module& encoder, const std::string& mode, bool bf16, double seconds, const Forward& forward) {
  if (mode == "infer") {
    const torch::InferenceMode inference;
    encoder.eval();
    if (bf16) encoder.to(torch::kBFloat16);
    return time_turns(seconds, [&] { forward(bf16 ? torch::kBFloat16 : torch::kFloat); });
  }
  encoder.train();
  sm::Optimizer optimizer{encoder, sm::AdamW{.lr = 1e-4}};
  time_turns(seconds, [&] {
    sm::Tensor loss;
    {
      const sm::Autocast autocast{bf16 ? sm::Precision::bf16 : sm::Precision::fp32, torch::kCPU};
      loss = forward(torch::kFloat).to(torch::kFloat).square().mean();
    }
    optimizer.zero_grad();
    loss.backward();
    optimizer.step(1e-4);
  });
}

void encode(const std::string& name, const std::string& mode, bool bf16, std::int64_t batch, double seconds) {
  const auto registry = sm::BackboneRegistry::built_in();
  constexpr std::string_view text = " text";
  const bool words = name.ends_with(text);
  const auto texts = registry.text_names();
  if (words || std::find(texts.begin(), texts.end(), name) != texts.end()) {
    const auto encoder = registry.make_text(words ? name.substr(0, name.size() - text.size()) : name, {});
    const auto [tokens, mask] = captions(batch, words ? 49408 : 30522);
    return encode(*encoder, mode, bf16, seconds, [&](torch::ScalarType) { return encoder->forward(tokens, mask); });
  }
  const auto encoder = registry.make_image(name, {});
  const auto pictures = torch::randn({batch, 3, 224, 224});
  const auto half = pictures.to(torch::kBFloat16);
  encode(*encoder, mode, bf16, seconds,
         [&](torch::ScalarType type) { return encoder->forward(type == torch::kFloat ? pictures : half); });
}

void tokenize(const std::string& kind, const std::string& vocabulary, const std::string& file, double seconds) {
  std::vector<std::string> texts;
  std::ifstream lines{file};
  for (std::string line; std::getline(lines, line);) texts.push_back(line);
  std::shared_ptr<const sm::Tokenizer> tokenizer;
  if (kind == "clip") {
    tokenizer = std::make_shared<const sm::ClipBpe>(sm::ClipBpe::from_file(vocabulary));
  } else {
    tokenizer = std::make_shared<const sm::WordPiece>(sm::WordPiece::from_file(vocabulary));
  }
  time_turns(seconds, [&] { sm::tokenize(*tokenizer, texts, 77); });
}

void product(bool bf16, double seconds) {
  const auto type = torch::dtype(bf16 ? torch::kBFloat16 : torch::kFloat);
  const auto a = torch::randn({2048, 2048}, type), b = torch::randn({2048, 2048}, type);
  time_turns(seconds, [&] { torch::matmul(a, b); });
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words{argv + 1, argv + argc};
  sm::keep_freed_memory();
  try {
    if (words.size() == 6 && words[0] == "encode") {
      encode(words[1], words[2], words[3] == "bf16", std::stoll(words[4]), std::stod(words[5]));
    } else if (words.size() == 5 && words[0] == "tokenize") {
      tokenize(words[1], words[2], words[3], std::stod(words[4]));
    } else if (words.size() == 3 && words[0] == "product") {
      product(words[1] == "bf16", std::stod(words[2]));
    } else {
      std::cerr << "usage: backbone_speed encode NAME infer|train fp32|bf16 BATCH SECONDS\n"
                   "       backbone_speed tokenize clip|wordpiece VOCABULARY TEXTS SECONDS\n"
                   "       backbone_speed product fp32|bf16 SECONDS\n";
      return 2;
    }
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
