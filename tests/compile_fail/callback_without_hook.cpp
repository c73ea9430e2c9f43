// must fail with: sslmeme: this callback has no valid hook
#include <sslmeme/data/loader.hpp>
#include <sslmeme/method/siamese.hpp>
#include <sslmeme/train/trainer.hpp>

namespace sm = sslmeme;

struct Counter {
  std::int64_t steps = 0;
#ifdef MISTAKE
  void on_step(const sm::StepInfo& /*info*/) { ++steps; }
#else
  void on_step_end(const sm::StepInfo& /*info*/) { ++steps; }
#endif
};

void train(sm::Trainer<sm::Siamese>& trainer, sm::DataLoader& loader) {
  trainer.fit(loader, Counter{});
}
