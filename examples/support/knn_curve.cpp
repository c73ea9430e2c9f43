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
namespace {

/// Empty where the run writes nothing.
std::filesystem::path curve_file(const sm::StepInfo& info) {
  const auto& run = info.session->output_dir();
  return run.empty() ? run : run / "knn.json";
}

}  // namespace

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
  const auto epochs_done = std::ssize(info.session->history());
  if (info.step > 0) go_on(info, epochs_done);
  if (accuracies_.empty()) measure(info, epochs_done);
}

void KnnCurve::on_epoch_end(const sm::StepInfo& info) {
  measure(info, info.epoch + 1);
  info.session->record("knn_accuracy", accuracies_.back());
}

/// Takes up what was measured before the checkpoint that the run resumes from.
void KnnCurve::go_on(const sm::StepInfo& info, std::int64_t epochs_done) {
  const auto path = curve_file(info);
  if (path.empty() || !std::filesystem::exists(path)) return;
  try {
    const auto before = nlohmann::json::parse(sm::read_file(path));
    for (std::size_t i = 0; i < before.at("epochs").size(); ++i) {
      const auto epoch = before.at("epochs")[i].get<double>();
      if (epoch > static_cast<double>(epochs_done)) break;
      accuracies_.push_back(before.at("accuracy").at(i).get<double>());
      epochs_.push_back(epoch);
    }
  } catch (const nlohmann::json::exception& error) {
    throw sm::DataError(fmt::format("{} is damaged, remove it: {}", path.string(), error.what()));
  }
}

void KnnCurve::measure(const sm::StepInfo& info, std::int64_t epochs_done) {
  epochs_.push_back(static_cast<double>(epochs_done));
  accuracies_.push_back(sm::knn_accuracy(sm::embed(*encoder_, data_->train), sm::embed(*encoder_, data_->test)));
  if (const auto path = curve_file(info); info.rank == 0 && !path.empty()) {
    const nlohmann::json json{{"classes", classes_}, {"epochs", epochs_}, {"accuracy", accuracies_}};
    sm::write_atomically(path, json.dump(1) + "\n");
  }
}

void KnnCurve::on_fit_end(const sm::StepInfo& info) const {
  if (info.rank != 0) return;
  const auto chance = 1.0 / classes_;
  fmt::print("k-NN accuracy over {} classes: {:.3f} after epoch {}, {:.3f} after epoch {} (chance {:.3f})\n", classes_,
             accuracies_.front(), epochs_.front(), accuracies_.back(), epochs_.back(), chance);
  const auto& run = info.session->output_dir();
  if (run.empty()) return;
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
