#include <sslmeme/data/image_io.hpp>
#include <sslmeme/eval/meme_scorer.hpp>

#include <iostream>

int main(int /*argc*/, char** argv) {
  const sslmeme::MemeScorer scorer{argv[1]};  // the run directory of a finetune
  const auto verdict = scorer.score(sslmeme::read_image(argv[2]), argv[3]);
  std::cout << verdict.probability << ": " << verdict.reason << '\n';
}
