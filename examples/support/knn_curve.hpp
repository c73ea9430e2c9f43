// What an encoder knows while it is trained: the accuracy of its nearest neighbours, epoch by epoch.
#pragma once

#include <sslmeme/data/loader.hpp>
#include <sslmeme/nn/backbone.hpp>
#include <sslmeme/train/callback.hpp>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace examples {

namespace sm = sslmeme;

/// Callback: before training and after each epoch it classifies FOLDER/test by the nearest neighbours in FOLDER/train
/// (one sub-folder a class). Writes knn.json into the run directory after each, the curve, knn.html, at the end, and
/// prints a line. A resumed run goes on with the curve of its knn.json.
class KnnCurve {
 public:
  /// Throws as ImageFolder does.
  KnnCurve(const std::filesystem::path& folder, int size, sm::ImageEncoder encoder);

  void on_fit_begin(const sm::StepInfo& info);
  void on_epoch_end(const sm::StepInfo& info);
  void on_fit_end(const sm::StepInfo& info) const;

 private:
  struct Data {
    sm::DataLoader train, test;
  };
  void measure(const sm::StepInfo& info, std::int64_t epochs_done);
  void go_on(const sm::StepInfo& info, std::int64_t epochs_done);

  std::shared_ptr<Data> data_;
  sm::ImageEncoder encoder_;
  int classes_ = 0;
  std::vector<double> epochs_, accuracies_;
};

}  // namespace examples
