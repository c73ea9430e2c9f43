// Weights of modules, to and from safetensors files: our own, and those that other libraries publish.
#pragma once

#include <sslmeme/nn/safetensors.hpp>

#include <torch/nn/module.h>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sslmeme {

class ImageBackbone;
class TextBackbone;

/// Parameters, then buffers, of a module and its children by their full names: what Python's state_dict() holds. The
/// tensors are the module's own, not copies.
NamedTensors state_of(const torch::nn::Module& module);

/// Whose names the tensors of a file have. Which of them a module can read is told by its own state: a ViT, a ResNet, a
/// tower of CLIP, BERT or DistilBERT; every other module reads its own names alone.
enum class WeightFormat {
  automatic,     ///< the one under which most tensors of the file find their place
  own,           ///< the module's: timm's (ViT, ResNet), open_clip's of one tower, transformers' (BERT, DistilBERT)
  timm,          ///< ViT, ResNet: as own
  torchvision,   ///< ViT; ResNet: as own
  open_clip,     ///< CLIP's towers out of a whole model of open_clip or OpenAI
  hugging_face,  ///< transformers: ViT, ResNet, a tower of CLIP, BERT, DistilBERT, bare or below a head
  dino           ///< ViT, ResNet: checkpoints of the DINO code, teacher before student
};
/// "automatic", "own", "timm", …
std::string_view name_of(WeightFormat format);

/// How load_weights() and load_state() treat a file. A pattern is a name, or the beginning of one followed by "*".
struct LoadOptions {
  WeightFormat format = WeightFormat::automatic;
  std::string prefix = {};                      ///< only tensors whose name begins with it count, and it is cut off
  std::vector<std::string> allow_missing = {};  ///< names of the module that keep their values if the file lacks them
  std::vector<std::string> allow_unknown = {};  ///< names of the file, or what they become, that may be left out
  std::vector<std::string> keep = {};           ///< names of the module that keep their values, whatever the file has
  /// Asks Backbone::resampled() for tensors of another shape: positions of another image size are interpolated. A
  /// tensor of another shape that is allowed both to be missing and to be unknown stays as it is.
  bool resample = false;
};

/// `options` that leave out the file's classifier: for a backbone that gives features.
LoadOptions without_head(LoadOptions options = {});
/// `options` that keep the module's own classifier, whatever the file has: for a new task.
LoadOptions with_fresh_head(LoadOptions options = {});

/// What loading did with each tensor.
struct LoadReport {
  WeightFormat format = WeightFormat::own;
  std::string prefix;                  ///< what was cut off the file's names, such as "teacher.backbone."
  std::vector<std::string> matched;    ///< names of the module that have the file's values now
  std::vector<std::string> missing;    ///< names of the module that kept theirs, as allowed
  std::vector<std::string> unknown;    ///< names of the file that were left out, as allowed
  std::vector<std::string> unused;     ///< names of the file that the format knows and the module cannot have
  std::vector<std::string> resampled;  ///< "pos_embed (1, 197, 192) → (1, 577, 192)"

  /// One line: "152 tensors from timm; 2 left out (head.weight, head.bias)".
  std::string summary() const;
};

/// Copies tensors into the module's state by name, converting between floating types. Every name must match both ways
/// and every shape be equal, but for what the options allow; throws InvalidArgument listing what is missing, unknown,
/// of another shape or type, and then nothing was changed.
LoadReport load_state(torch::nn::Module& module, const NamedTensors& tensors, const LoadOptions& options = {});

/// load_state() of a safetensors file, which is mapped, not read into memory first: see SafetensorsFile. Throws
/// DataError naming the file for one that does not fit the module, and what SafetensorsFile throws.
///
///     auto vit = sm::image_encoder("vit_small_patch16_384");
///     const auto report = sm::load_weights("vit_small_patch16_224.safetensors", *vit, sm::without_head({.resample =
///     true})); fmt::print("{}\n", report.summary());
LoadReport load_weights(const std::filesystem::path& path, torch::nn::Module& module, const LoadOptions& options = {});

void save_weights(const std::filesystem::path& path, const torch::nn::Module& module,
                  const std::map<std::string, std::string>& metadata = {});

/// The module's state under the names of another library, in its shapes. Throws InvalidArgument for a format that has
/// no such module.
NamedTensors state_as(const torch::nn::Module& module, WeightFormat format);

/// Writes a file that the library of `format` loads strictly: into torchvision's vit_b_16() (which has a classifier),
/// transformers' BertModel(config, add_pooling_layer=False) and so on. Towers of CLIP alone give a part of a model:
/// save_clip() writes a whole one.
void save_pretrained(const std::filesystem::path& path, const torch::nn::Module& module,
                     WeightFormat format = WeightFormat::own);

/// Writes both towers of CLIP and log_scale, the logarithm of the factor of their cosines, as one model of open_clip or
/// transformers (`format`: open_clip or hugging_face; a ResNet tower is open_clip's alone). Throws InvalidArgument for
/// other modules.
void save_clip(const std::filesystem::path& path, const ImageBackbone& images, const TextBackbone& texts,
               double log_scale, WeightFormat format = WeightFormat::open_clip);

}  // namespace sslmeme
