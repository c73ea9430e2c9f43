// encode_tensors DESCRIPTION WEIGHTS INPUT OUT: runs an encoder on tensors for scripts/parity.
//   DESCRIPTION  JSON as Backbone::description() gives it
//   WEIGHTS      safetensors file of any library that load_weights() reads
//   INPUT        safetensors: images, or tokens and mask; probe, of the features' shape; metadata "gradients": names
//                of parameters, one a line
//   OUT          features and tokens in evaluation, bf16: the features under autocast, and gradient/NAME of
//                Σ features ⊙ probe
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/precision.hpp>
#include <sslmeme/nn/backbone.hpp>
#include <sslmeme/nn/weights.hpp>

#include <functional>
#include <iostream>
#include <sstream>
#include <string>

namespace sm = sslmeme;

namespace {

void run(const std::string& description, const std::string& weights, const std::string& input, const std::string& out) {
  const sm::SafetensorsFile file{input};
  std::shared_ptr<sm::Backbone> encoder;
  std::function<sm::Encoded()> encode;
  std::function<sm::Tensor()> forward;
  if (file.contains("images")) {
    const auto images = sm::image_encoder_from_json(description);
    forward = [=, x = file.tensor("images")] { return images->forward(x); };
    encode = [=, x = file.tensor("images")] { return images->encode(x, {.tokens = true}); };
    encoder = images;
  } else {
    const auto texts = sm::text_encoder_from_json(description);
    forward = [=, x = file.tensor("tokens"), mask = file.tensor("mask")] { return texts->forward(x, mask); };
    encode = [=, x = file.tensor("tokens"), mask = file.tensor("mask")] {
      return texts->encode(x, mask, {.tokens = true});
    };
    encoder = texts;
  }
  std::cout << sm::load_weights(weights, *encoder, sm::without_head()).summary() << '\n';
  encoder->eval();
  sm::NamedTensors results;
  const auto encoded = encode();
  results.emplace_back("features", encoded.features.detach());
  results.emplace_back("tokens", encoded.tokens.detach());
  {
    const torch::NoGradGuard no_grad;
    const sm::Autocast autocast{sm::Precision::bf16, torch::kCPU};
    results.emplace_back("bf16", forward().to(torch::kFloat));
  }
  (forward() * file.tensor("probe")).sum().backward();
  std::istringstream names{file.metadata().at("gradients")};
  const auto parameters = encoder->named_parameters();
  for (std::string name; std::getline(names, name);) results.emplace_back("gradient/" + name, parameters[name].grad());
  sm::write_safetensors(out, results);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: encode_tensors DESCRIPTION WEIGHTS INPUT OUT\n";
    return 2;
  }
  try {
    run(argv[1], argv[2], argv[3], argv[4]);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "encode_tensors: " << error.what() << '\n';
    return 1;
  }
}
