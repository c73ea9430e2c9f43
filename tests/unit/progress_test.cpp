#include <sslmeme/train/progress.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sstream>
#include <string>

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace {

sm::StepInfo moment(std::int64_t epoch, std::int64_t batch) {
  sm::StepInfo info;
  info.epoch = epoch;
  info.epochs = 3;
  info.batch = batch;
  info.batches_per_epoch = 8;
  info.step = 8 * epoch + batch;
  info.total_steps = 24;
  info.mean_loss = 1.23456;
  info.samples_per_second = 97.6;
  info.seconds = 10.0 * static_cast<double>(info.step);
  return info;
}

}  // namespace

TEST_CASE("Away from a terminal every epoch is one plain line") {
  std::ostringstream out;
  sm::ProgressBar bar{.label = "cass", .out = &out};
  bar.on_fit_begin(moment(0, 0));
  for (int i = 1; i <= 8; ++i) bar.on_step_end(moment(0, i));
  CHECK(out.str().empty());
  bar.on_epoch_end(moment(0, 8));
  CHECK(out.str() == "cass epoch 1/3 loss 1.2346 [98 img/s, 2:40 left]\n");
  out.str("");
  auto info = moment(2, 8);
  info.mean_parts = {{"cnn-vit", 0.5}, {"cnn-text", 0.25}};
  bar.on_epoch_end(info);
  bar.on_fit_end(info);
  CHECK(out.str() == "cass epoch 3/3 loss 1.2346 (cnn-vit 0.500, cnn-text 0.250) [98 img/s, 0:00 left]\n");
}

TEST_CASE("A single part is not repeated, and long times have hours") {
  std::ostringstream out;
  sm::ProgressBar bar{.out = &out, .style = sm::ProgressBar::Style::lines};
  bar.on_fit_begin(moment(0, 0));
  auto info = moment(0, 8);
  info.mean_parts = {{"bce", 1.0}};
  info.seconds = 3723;
  bar.on_epoch_end(info);
  CHECK(out.str() == "epoch 1/3 loss 1.2346 [98 img/s, 2:04:06 left]\n");
}

TEST_CASE("The bar fills in eighths and is drawn over itself") {
  std::ostringstream out;
  sm::ProgressBar bar{.label = "x", .out = &out, .width = 4, .style = sm::ProgressBar::Style::bar};
  bar.on_fit_begin(moment(0, 0));
  bar.on_step_end(moment(0, 3));
  CHECK(out.str() == "\rx epoch 1/3  38%|█▌  | 3/8 [98 img/s, 3:30 left] loss 1.2346\033[K");
  out.str("");
  bar.on_step_end(moment(0, 4));
  CHECK(out.str().empty());  // at most ten times a second
  bar.on_step_end(moment(0, 8));
  CHECK(out.str() ==
        "\rx epoch 1/3 100%|████| 8/8 [98 img/s, 2:40 left] loss 1.2346\033[K");  // but an epoch's end always
  out.str("");
  bar.on_epoch_end(moment(0, 8));
  CHECK(out.str().empty());
  bar.on_fit_end(moment(1, 2));  // stopped early: the line is ended all the same
  CHECK(out.str() == "\n");
}

TEST_CASE("Notes are told below the bar, that of the end too") {
  std::ostringstream out;
  sm::ProgressBar bar{.out = &out, .style = sm::ProgressBar::Style::lines};
  auto info = moment(2, 8);
  info.note = "an old checkpoint cannot be deleted";
  bar.on_fit_end(info);
  CHECK(out.str() == "note: an old checkpoint cannot be deleted\n");
}

TEST_CASE("A narrow terminal gets a shorter bar, then a shorter line, never a second one") {
  const auto drawn = [](int columns) {
    std::ostringstream out;
    sm::ProgressBar bar{.label = "x", .out = &out, .columns = columns, .style = sm::ProgressBar::Style::bar};
    bar.on_fit_begin(moment(0, 0));
    bar.on_step_end(moment(0, 8));
    return out.str();
  };
  CHECK_THAT(drawn(200), ContainsSubstring("100%|████████████████████████| 8/8"));
  CHECK(drawn(70) == "\rx epoch 1/3 100%|██████████████| 8/8 [98 img/s, 2:40 left] loss 1.2346\033[K");
  CHECK(drawn(40) == "\rx epoch 1/3 100%|██████| 8/8 [98 img/s,…\033[K");
}

TEST_CASE("Text is cut between characters") {
  CHECK(sm::fit_columns("héllo", 5) == "héllo");
  CHECK(sm::fit_columns("héllo", 4) == "hél…");
  CHECK(sm::fit_columns("héllo", 2) == "h…");
  CHECK(sm::fit_columns("hello", 0) == "hello");
}

TEST_CASE("After a resume the time left counts this process's own pace") {
  std::ostringstream out;
  sm::ProgressBar bar{.out = &out};
  bar.on_fit_begin(moment(1, 0));
  CHECK(out.str() == "resuming at step 8 of 24\n");
  auto info = moment(1, 8);
  info.seconds = 16;  // for 8 steps; 8 are left
  bar.on_epoch_end(info);
  CHECK_THAT(out.str(), ContainsSubstring("0:16 left"));
}

TEST_CASE("A node's collapse is told once, on a line of its own") {
  for (const auto style : {sm::ProgressBar::Style::lines, sm::ProgressBar::Style::bar}) {
    std::ostringstream out;
    sm::ProgressBar bar{.out = &out, .style = style};
    bar.on_fit_begin(moment(0, 0));
    auto info = moment(0, 1);
    info.health = {{"cnn", 1, 9, ""}, {"vit", 0, 0, "vit has collapsed"}};
    bar.on_step_end(info);  // an old measurement
    CHECK_THAT(out.str(), !ContainsSubstring("warning"));
    info.health_is_new = true;
    out.str("");
    bar.on_step_end(info);
    const std::string line = "warning: vit has collapsed\n";
    CHECK_THAT(out.str(), StartsWith(style == sm::ProgressBar::Style::bar ? "\r\033[K" + line : line));
    out.str("");
    bar.on_step_end(info);
    CHECK_THAT(out.str(), !ContainsSubstring("warning"));
    info.health[0].warning = "cnn has collapsed";
    bar.on_step_end(info);
    CHECK_THAT(out.str(), ContainsSubstring("warning: cnn has collapsed\n"));
  }
}
