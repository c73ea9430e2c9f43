// BetweenEpochs: does something before the first epoch and after each, with the weights as they then are.
#pragma once

#include <sslmeme/train/session.hpp>

#include <functional>

namespace sslmeme {

/// Callback. Calls `call` before the first epoch and after every one, for what follows from the weights, such as the
/// memory of RetrievalGuided. A run resumed at an epoch's beginning calls it again, one resumed within an epoch does
/// not: what is called must keep its results in the module, and give the same again from the same weights. Give it
/// before Checkpoint.
struct BetweenEpochs {
  std::function<void()> call;

  void on_fit_begin(const StepInfo& info) const {
    if (info.session->first_batch() == 0 && info.session->first_epoch() < info.epochs) call();
  }
  void on_epoch_end(const StepInfo& /*info*/) const { call(); }
};

static_assert(Callback<BetweenEpochs>);

}  // namespace sslmeme
