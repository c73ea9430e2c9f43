// What the tensors of a file are called in other libraries, and what they are for a module of ours.
#pragma once

#include <sslmeme/nn/weights.hpp>

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sslmeme::detail {

enum class ModuleKind { other, vit, resnet, clip_vit, clip_resnet, clip_text, bert, distilbert };

/// "ViT", "text encoder of CLIP", …
std::string_view name_of(ModuleKind kind);

/// By the names of its state.
ModuleKind kind_of(std::span<const std::string> own_names);

/// The formats that a module of this kind can be loaded from, the likeliest first.
std::vector<WeightFormat> formats_of(ModuleKind kind);

/// Where one tensor of a module comes from: parts that are joined along their first dimension.
struct Source {
  std::vector<std::string> parts;  ///< names in the file; an empty one is missing
  bool transposed = false;
};

struct KeyMap {
  WeightFormat format = WeightFormat::own;
  std::string prefix;                     ///< that was cut off
  std::map<std::string, Source> sources;  ///< by the name within the module, which need not have such a tensor
  std::vector<std::string> unused;        ///< known to the format, without a counterpart in modules of this kind
  std::vector<std::string> unknown;       ///< everything else
};

/// Throws InvalidArgument for two names that mean the same tensor, and for a format that has no such modules.
KeyMap key_map(WeightFormat format, ModuleKind kind, std::span<const std::string> file_names);

/// The other way: the names in a file for a tensor of the module, more than one where it is split along its first
/// dimension; none where the format has no such tensor. own_names: all of the module's, which tell whether it has a
/// classifier.
Source named_as(WeightFormat format, ModuleKind kind, const std::string& own_name,
                std::span<const std::string> own_names);

/// Whether `name` is `pattern`, or begins with what stands before its final "*".
bool matches(std::string_view name, std::string_view pattern);

}  // namespace sslmeme::detail
