// Mixed precision: autocast for a scope, as torch.autocast does in Python.
#pragma once

#include <torch/types.h>

namespace sslmeme {

enum class Precision { fp32, bf16, fp16 };

/// While alive, operations on `device` run in bf16 or fp16 where autocast deems it safe. Does nothing for
/// Precision::fp32. The former state comes back at the end; nests. Holds for the thread that made it.
class Autocast {
 public:
  Autocast(Precision precision, torch::DeviceType device);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  bool active_;
  torch::DeviceType device_;
  bool was_enabled_ = false;
  torch::ScalarType was_dtype_ = torch::kFloat;
};

/// While alive, autocast is off on `device`: losses run so, whatever precision the encoders ran in.
class FullPrecision {
 public:
  explicit FullPrecision(torch::DeviceType device);
  ~FullPrecision();
  FullPrecision(const FullPrecision&) = delete;
  FullPrecision& operator=(const FullPrecision&) = delete;

 private:
  torch::DeviceType device_;
  bool was_enabled_;
};

}  // namespace sslmeme
