#include "support/knn_curve.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>
#include <sslmeme/data/image_folder.hpp>
#include <sslmeme/eval/knn.hpp>
#include <sslmeme/eval/report.hpp>
#include <sslmeme/train/session.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace examples {

KnnCurve::KnnCurve(const std::filesystem::path& folder, int size, sm::ImageEncoder encoder)
    : encoder_{std::move(encoder)} {
  const sm::ImageFolder train{folder / "train"}, test{folder / "test"};
  if (train.classes() != test.classes())
    throw sm::InvalidArgument(
        fmt::format("{} and its train folder have different sub-folders", (folder / "test").string()));
  classes_ = static_cast<int>(train.classes().size());
  const auto loader = [size](const sm::ImageFolder& pictures) {
    return sm::DataLoader{
        pictures, sm::eval_views({.size = size}), {.batch_size = 64, .shuffle = false, .drop_last = false}};
  };
  data_ = std::make_shared<Data>(Data{loader(train), loader(test)});
}

void KnnCurve::on_fit_begin(const sm::StepInfo& info) {
  measure(info.step / info.batches_per_epoch);
}

void KnnCurve::on_epoch_end(const sm::StepInfo& info) {
  measure(info.epoch + 1);
  info.session->record("knn_accuracy", accuracies_.back());
}

void KnnCurve::measure(std::int64_t epochs_done) {
  epochs_.push_back(static_cast<double>(epochs_done));
  accuracies_.push_back(sm::knn_accuracy(sm::embed(*encoder_, data_->train), sm::embed(*encoder_, data_->test)));
}

void KnnCurve::on_fit_end(const sm::StepInfo& info) const {
  const auto chance = 1.0 / classes_;
  fmt::print("k-NN accuracy over {} classes: {:.3f} after epoch {}, {:.3f} after epoch {} (chance {:.3f})\n", classes_,
             accuracies_.front(), epochs_.front(), accuracies_.back(), epochs_.back(), chance);
  const auto& run = info.session->output_dir();
  if (run.empty()) return;
  const nlohmann::json json{{"classes", classes_}, {"epochs", epochs_}, {"accuracy", accuracies_}};
  sm::write_atomically(run / "knn.json", json.dump(1) + "\n");
  const std::vector<double> ends{epochs_.front(), epochs_.back()};
  sm::write_report(run / "knn.html",
                   {.title = "What the encoder knows",
                    .subtitle = fmt::format("{} classes, weighted vote of the 20 nearest neighbours", classes_),
                    .charts = {{.id = "knn",
                                .title = "Accuracy of nearest neighbours",
                                .caption = "On pictures that were not trained on; labels only name the neighbours.",
                                .y_label = "accuracy",
                                .curves = {{.name = "encoder", .epoch = epochs_, .value = accuracies_},
                                           {.name = "chance", .epoch = ends, .value = {chance, chance}}}}}});
}

}  // namespace examples
