// must fail with: sslmeme: a hook of this callback has the wrong signature
#include <sslmeme/data/loader.hpp>
#include <sslmeme/method/siamese.hpp>
#include <sslmeme/train/trainer.hpp>

namespace sm = sslmeme;

struct StopAtZero {
#ifdef MISTAKE
  bool on_epoch_end(double mean_loss) { return mean_loss == 0; }
#else
  sm::Flow on_epoch_end(const sm::StepInfo& info) { return info.mean_loss == 0 ? sm::Flow::stop : sm::Flow::proceed; }
#endif
};

void train(sm::Trainer<sm::Siamese>& trainer, sm::DataLoader& loader) {
  trainer.fit(loader, StopAtZero{});
}
