#include "nn/key_maps.hpp"

#include <sslmeme/core/error.hpp>

#include "core/shown.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <ranges>
#include <string_view>
#include <system_error>

namespace sslmeme::detail {
namespace {

using enum WeightFormat;

/// # stands for a number, ^ for one that counts from 1 where # counts from 0, * at the end for any rest. The numbers of
/// both sides are the same, in the same order.
struct Rule {
  std::string_view theirs, ours;
  std::size_t part = 0, parts = 1;  ///< theirs is this part of so many of ours
  bool transposed = false;
  bool read_only = false;  ///< an older or newer name than the one we write
};

/// How one library names the tensors of one kind of module.
struct Naming {
  WeightFormat format;
  ModuleKind kind;
  std::span<const Rule> rules, more_rules = {};     ///< for names without the prefix
  std::span<const std::string_view> prefixes = {};  ///< the first that any name of a file has is cut off
  bool needs_prefix = false;
  std::span<const Rule> beside = {};              ///< for names that stand beside those with the prefix
  std::span<const std::string_view> unused = {};  ///< patterns of whole names
  std::string_view written_prefix = "";
  std::string_view written_prefix_with_head = "";  ///< of a module with a classifier, where it differs
};

constexpr auto same_names = std::to_array<Rule>({{"*", "*"}});

constexpr auto torchvision_vit = std::to_array<Rule>({
    {"class_token", "cls_token"},
    {"encoder.pos_embedding", "pos_embed"},
    {"conv_proj.*", "patch_embed.proj.*"},
    {"encoder.layers.encoder_layer_#.ln_1.*", "blocks.#.norm1.*"},
    {"encoder.layers.encoder_layer_#.self_attention.in_proj_weight", "blocks.#.attn.qkv.weight"},
    {"encoder.layers.encoder_layer_#.self_attention.in_proj_bias", "blocks.#.attn.qkv.bias"},
    {"encoder.layers.encoder_layer_#.self_attention.out_proj.*", "blocks.#.attn.proj.*"},
    {"encoder.layers.encoder_layer_#.ln_2.*", "blocks.#.norm2.*"},
    {"encoder.layers.encoder_layer_#.mlp.0.*", "blocks.#.mlp.fc1.*"},
    {"encoder.layers.encoder_layer_#.mlp.3.*", "blocks.#.mlp.fc2.*"},
    {"encoder.layers.encoder_layer_#.mlp.linear_1.*", "blocks.#.mlp.fc1.*", 0, 1, false, true},
    {"encoder.layers.encoder_layer_#.mlp.linear_2.*", "blocks.#.mlp.fc2.*", 0, 1, false, true},
    {"encoder.ln.*", "norm.*"},
    {"heads.head.*", "head.*"},
});

constexpr auto hugging_face_vit = std::to_array<Rule>({
    {"embeddings.cls_token", "cls_token"},
    {"embeddings.position_embeddings", "pos_embed"},
    {"embeddings.patch_embeddings.projection.*", "patch_embed.proj.*"},
    {"encoder.layer.#.layernorm_before.*", "blocks.#.norm1.*"},
    {"encoder.layer.#.attention.attention.query.*", "blocks.#.attn.qkv.*", 0, 3},
    {"encoder.layer.#.attention.attention.key.*", "blocks.#.attn.qkv.*", 1, 3},
    {"encoder.layer.#.attention.attention.value.*", "blocks.#.attn.qkv.*", 2, 3},
    {"encoder.layer.#.attention.output.dense.*", "blocks.#.attn.proj.*"},
    {"encoder.layer.#.layernorm_after.*", "blocks.#.norm2.*"},
    {"encoder.layer.#.intermediate.dense.*", "blocks.#.mlp.fc1.*"},
    {"encoder.layer.#.output.dense.*", "blocks.#.mlp.fc2.*"},
    {"layernorm.*", "norm.*"},
});
/// The state_dict() of transformers 5, which translates it into the names above when it saves.
constexpr auto hugging_face_vit_in_memory = std::to_array<Rule>({
    {"layers.#.layernorm_before.*", "blocks.#.norm1.*", 0, 1, false, true},
    {"layers.#.attention.q_proj.*", "blocks.#.attn.qkv.*", 0, 3, false, true},
    {"layers.#.attention.k_proj.*", "blocks.#.attn.qkv.*", 1, 3, false, true},
    {"layers.#.attention.v_proj.*", "blocks.#.attn.qkv.*", 2, 3, false, true},
    {"layers.#.attention.o_proj.*", "blocks.#.attn.proj.*", 0, 1, false, true},
    {"layers.#.layernorm_after.*", "blocks.#.norm2.*", 0, 1, false, true},
    {"layers.#.mlp.fc1.*", "blocks.#.mlp.fc1.*", 0, 1, false, true},
    {"layers.#.mlp.fc2.*", "blocks.#.mlp.fc2.*", 0, 1, false, true},
});
constexpr auto hugging_face_vit_prefix = std::to_array<std::string_view>({"vit."});
constexpr auto hugging_face_vit_head = std::to_array<Rule>({{"classifier.*", "head.*"}});
constexpr auto hugging_face_vit_unused = std::to_array<std::string_view>(
    {"pooler.*", "vit.pooler.*", "embeddings.mask_token", "vit.embeddings.mask_token", "decoder.*"});

constexpr auto hugging_face_resnet = std::to_array<Rule>({
    {"embedder.embedder.convolution.*", "conv1.*"},
    {"embedder.embedder.normalization.*", "bn1.*"},
    {"encoder.stages.#.layers.#.layer.#.convolution.*", "layer^.#.conv^.*"},
    {"encoder.stages.#.layers.#.layer.#.normalization.*", "layer^.#.bn^.*"},
    {"encoder.stages.#.layers.#.shortcut.convolution.*", "layer^.#.downsample.0.*"},
    {"encoder.stages.#.layers.#.shortcut.normalization.*", "layer^.#.downsample.1.*"},
});
constexpr auto hugging_face_resnet_prefix = std::to_array<std::string_view>({"resnet."});
constexpr auto hugging_face_resnet_head = std::to_array<Rule>({{"classifier.1.*", "fc.*"}});

constexpr auto hugging_face_clip_blocks = std::to_array<Rule>({
    {"encoder.layers.#.layer_norm1.*", "transformer.resblocks.#.ln_1.*"},
    {"encoder.layers.#.self_attn.q_proj.*", "transformer.resblocks.#.attn.in_proj_*", 0, 3},
    {"encoder.layers.#.self_attn.k_proj.*", "transformer.resblocks.#.attn.in_proj_*", 1, 3},
    {"encoder.layers.#.self_attn.v_proj.*", "transformer.resblocks.#.attn.in_proj_*", 2, 3},
    {"encoder.layers.#.self_attn.out_proj.*", "transformer.resblocks.#.attn.out_proj.*"},
    {"encoder.layers.#.layer_norm2.*", "transformer.resblocks.#.ln_2.*"},
    {"encoder.layers.#.mlp.fc1.*", "transformer.resblocks.#.mlp.c_fc.*"},
    {"encoder.layers.#.mlp.fc2.*", "transformer.resblocks.#.mlp.c_proj.*"},
});
constexpr auto hugging_face_clip_vit = std::to_array<Rule>({
    {"embeddings.class_embedding", "class_embedding"},
    {"embeddings.patch_embedding.weight", "conv1.weight"},
    {"embeddings.position_embedding.weight", "positional_embedding"},
    {"pre_layrnorm.*", "ln_pre.*"},  // sic
    {"post_layernorm.*", "ln_post.*"},
});
constexpr auto hugging_face_clip_vit_prefix = std::to_array<std::string_view>({"vision_model."});
constexpr auto hugging_face_clip_vit_projection =
    std::to_array<Rule>({{"visual_projection.weight", "proj", 0, 1, true}});
constexpr auto hugging_face_clip_vit_unused = std::to_array<std::string_view>(
    {"text_model.*", "text_projection.weight", "logit_scale", "vision_model.embeddings.position_ids"});

constexpr auto hugging_face_clip_text = std::to_array<Rule>({
    {"embeddings.token_embedding.weight", "token_embedding.weight"},
    {"embeddings.position_embedding.weight", "positional_embedding"},
    {"final_layer_norm.*", "ln_final.*"},
});
constexpr auto hugging_face_clip_text_prefix = std::to_array<std::string_view>({"text_model."});
constexpr auto hugging_face_clip_text_projection =
    std::to_array<Rule>({{"text_projection.weight", "text_projection", 0, 1, true}});
constexpr auto hugging_face_clip_text_unused = std::to_array<std::string_view>(
    {"vision_model.*", "visual_projection.weight", "logit_scale", "text_model.embeddings.position_ids"});

// input_resolution and the like are numbers that OpenAI's archives keep among the weights.
constexpr auto open_clip_picture_prefix = std::to_array<std::string_view>({"visual."});
constexpr auto open_clip_picture_unused = std::to_array<std::string_view>(
    {"text.*", "token_embedding.*", "positional_embedding", "transformer.*", "ln_final.*", "text_projection",
     "logit_scale", "logit_bias", "attn_mask", "input_resolution", "context_length", "vocab_size"});
constexpr auto open_clip_text = std::to_array<Rule>({
    {"token_embedding.weight", "token_embedding.weight"},
    {"positional_embedding", "positional_embedding"},
    {"transformer.*", "transformer.*"},
    {"ln_final.*", "ln_final.*"},
    {"text_projection", "text_projection"},
});
constexpr auto open_clip_text_prefix = std::to_array<std::string_view>({"text."});
constexpr auto open_clip_text_unused =
    std::to_array<std::string_view>({"visual.*", "logit_scale", "logit_bias", "attn_mask", "text.attn_mask",
                                     "input_resolution", "context_length", "vocab_size"});

/// gamma and beta are the names of files that came from TensorFlow.
constexpr auto hugging_face_bert = std::to_array<Rule>({
    {"embeddings.LayerNorm.gamma", "embeddings.LayerNorm.weight", 0, 1, false, true},
    {"embeddings.LayerNorm.beta", "embeddings.LayerNorm.bias", 0, 1, false, true},
    {"encoder.layer.#.attention.output.LayerNorm.gamma", "encoder.layer.#.attention.output.LayerNorm.weight", 0, 1,
     false, true},
    {"encoder.layer.#.attention.output.LayerNorm.beta", "encoder.layer.#.attention.output.LayerNorm.bias", 0, 1, false,
     true},
    {"encoder.layer.#.output.LayerNorm.gamma", "encoder.layer.#.output.LayerNorm.weight", 0, 1, false, true},
    {"encoder.layer.#.output.LayerNorm.beta", "encoder.layer.#.output.LayerNorm.bias", 0, 1, false, true},
    {"embeddings.word_embeddings.weight", "embeddings.word_embeddings.weight"},
    {"embeddings.position_embeddings.weight", "embeddings.position_embeddings.weight"},
    {"embeddings.token_type_embeddings.weight", "embeddings.token_type_embeddings.weight"},
    {"embeddings.LayerNorm.*", "embeddings.LayerNorm.*"},
    {"encoder.*", "encoder.*"},
});
constexpr auto hugging_face_bert_prefix = std::to_array<std::string_view>({"bert."});
constexpr auto hugging_face_bert_unused = std::to_array<std::string_view>(
    {"pooler.*", "bert.pooler.*", "cls.*", "embeddings.position_ids", "bert.embeddings.position_ids"});

constexpr auto hugging_face_distilbert = std::to_array<Rule>({
    {"embeddings.word_embeddings.weight", "embeddings.word_embeddings.weight"},
    {"embeddings.position_embeddings.weight", "embeddings.position_embeddings.weight"},
    {"embeddings.LayerNorm.*", "embeddings.LayerNorm.*"},
    {"transformer.*", "transformer.*"},
});
constexpr auto hugging_face_distilbert_prefix = std::to_array<std::string_view>({"distilbert."});
constexpr auto hugging_face_distilbert_unused =
    std::to_array<std::string_view>({"vocab_transform.*", "vocab_layer_norm.*", "vocab_projector.*"});

// DDP adds "module."; the teacher has it only where it has batch norms.
constexpr auto dino_prefixes =
    std::to_array<std::string_view>({"teacher.module.backbone.", "teacher.backbone.", "student.module.backbone.",
                                     "student.backbone.", "module.backbone.", "backbone."});
constexpr auto dino_unused = std::to_array<std::string_view>(
    {"teacher.*", "student.*", "head.*", "module.head.*", "dino_loss.*", "optimizer.*", "fp16_scaler.*", "epoch"});

constexpr auto namings = std::to_array<Naming>({
    {.format = timm, .kind = ModuleKind::vit, .rules = same_names},
    {.format = torchvision, .kind = ModuleKind::vit, .rules = torchvision_vit},
    {.format = hugging_face,
     .kind = ModuleKind::vit,
     .rules = hugging_face_vit,
     .more_rules = hugging_face_vit_in_memory,
     .prefixes = hugging_face_vit_prefix,
     .beside = hugging_face_vit_head,
     .unused = hugging_face_vit_unused,
     .written_prefix_with_head = "vit."},
    {.format = dino,
     .kind = ModuleKind::vit,
     .rules = same_names,
     .prefixes = dino_prefixes,
     .needs_prefix = true,
     .unused = dino_unused},
    {.format = timm, .kind = ModuleKind::resnet, .rules = same_names},
    {.format = torchvision, .kind = ModuleKind::resnet, .rules = same_names},
    {.format = hugging_face,
     .kind = ModuleKind::resnet,
     .rules = hugging_face_resnet,
     .prefixes = hugging_face_resnet_prefix,
     .beside = hugging_face_resnet_head,
     .written_prefix_with_head = "resnet."},
    {.format = dino,
     .kind = ModuleKind::resnet,
     .rules = same_names,
     .prefixes = dino_prefixes,
     .needs_prefix = true,
     .unused = dino_unused},
    {.format = own, .kind = ModuleKind::clip_vit, .rules = same_names},
    {.format = open_clip,
     .kind = ModuleKind::clip_vit,
     .rules = same_names,
     .prefixes = open_clip_picture_prefix,
     .needs_prefix = true,
     .unused = open_clip_picture_unused,
     .written_prefix = "visual."},
    {.format = hugging_face,
     .kind = ModuleKind::clip_vit,
     .rules = hugging_face_clip_vit,
     .more_rules = hugging_face_clip_blocks,
     .prefixes = hugging_face_clip_vit_prefix,
     .beside = hugging_face_clip_vit_projection,
     .unused = hugging_face_clip_vit_unused,
     .written_prefix = "vision_model."},
    {.format = own, .kind = ModuleKind::clip_resnet, .rules = same_names},
    {.format = open_clip,
     .kind = ModuleKind::clip_resnet,
     .rules = same_names,
     .prefixes = open_clip_picture_prefix,
     .needs_prefix = true,
     .unused = open_clip_picture_unused,
     .written_prefix = "visual."},
    {.format = open_clip,
     .kind = ModuleKind::clip_text,
     .rules = open_clip_text,
     .prefixes = open_clip_text_prefix,
     .unused = open_clip_text_unused},
    {.format = hugging_face,
     .kind = ModuleKind::clip_text,
     .rules = hugging_face_clip_text,
     .more_rules = hugging_face_clip_blocks,
     .prefixes = hugging_face_clip_text_prefix,
     .beside = hugging_face_clip_text_projection,
     .unused = hugging_face_clip_text_unused,
     .written_prefix = "text_model."},
    {.format = hugging_face,
     .kind = ModuleKind::bert,
     .rules = hugging_face_bert,
     .prefixes = hugging_face_bert_prefix,
     .unused = hugging_face_bert_unused},
    {.format = hugging_face,
     .kind = ModuleKind::distilbert,
     .rules = hugging_face_distilbert,
     .prefixes = hugging_face_distilbert_prefix,
     .unused = hugging_face_distilbert_unused},
});

/// `own` of a module that other libraries have too, and of every other.
constexpr Naming own_naming{.format = own, .kind = ModuleKind::other, .rules = same_names};

const Naming& naming_of(WeightFormat format, ModuleKind kind) {
  const auto found = std::ranges::find_if(
      namings, [&](const Naming& naming) { return naming.format == format && naming.kind == kind; });
  if (found != namings.end()) return *found;
  if (format == own) return own_naming;
  throw InvalidArgument(fmt::format(
      "weights of {} are not known for a {}: choose {}", name_of(format), name_of(kind),
      fmt::join(formats_of(kind) | std::views::transform([](WeightFormat f) { return name_of(f); }), ", ")));
}

/// The number that `text` begins with, less `first`: none for what is no number, less than that, or spelled with zeros
/// in front, by which two names would mean one tensor. `text` loses it.
std::optional<std::size_t> take_number(std::string_view& text, std::size_t first) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto length = static_cast<std::size_t>(end - text.data());
  if (error != std::errc{} || (length > 1 && text.front() == '0') || number < first) return {};
  text.remove_prefix(length);
  return number - first;
}

constexpr std::size_t first_of(char place) {
  return place == '^' ? 1 : 0;
}

/// `name`, which has the form `from`, in the form `to`.
std::optional<std::string> renamed(std::string_view name, std::string_view from, std::string_view to) {
  std::vector<std::size_t> numbers;
  for (; !from.empty() && from.front() != '*'; from.remove_prefix(1)) {
    if (from.front() == '#' || from.front() == '^') {
      const auto number = take_number(name, first_of(from.front()));
      if (!number) return {};
      numbers.push_back(*number);
    } else if (name.starts_with(from.front())) {
      name.remove_prefix(1);
    } else {
      return {};
    }
  }
  if (from.empty() && !name.empty()) return {};
  std::string result;
  auto number = numbers.begin();
  for (const char c : to) {
    if (c == '#' || c == '^')
      result += std::to_string(*number++ + first_of(c));
    else if (c == '*')
      result += name;
    else
      result += c;
  }
  return result;
}

/// Notes that the tensor `name` of the file, of which the rules see `seen`, is or is part of one of the module's.
bool place(KeyMap& map, std::span<const Rule> rules, std::string_view seen, const std::string& name) {
  for (const auto& rule : rules) {
    const auto ours = renamed(seen, rule.theirs, rule.ours);
    if (!ours) continue;
    auto& source = map.sources[*ours];
    source.parts.resize(rule.parts);
    source.transposed = rule.transposed;
    auto& part = source.parts[rule.part];
    if (!part.empty()) {
      throw InvalidArgument(fmt::format("the tensors {} and {} both mean {}: choose which by a prefix (LoadOptions)",
                                        in_quotes(part), in_quotes(name), in_quotes(*ours)));
    }
    part = name;
    return true;
  }
  return false;
}

}  // namespace

std::string_view name_of(ModuleKind kind) {
  switch (kind) {
    case ModuleKind::other:
      return "module of its own kind";
    case ModuleKind::vit:
      return "ViT";
    case ModuleKind::resnet:
      return "ResNet";
    case ModuleKind::clip_vit:
      return "ViT of CLIP";
    case ModuleKind::clip_resnet:
      return "ResNet of CLIP";
    case ModuleKind::clip_text:
      return "text encoder of CLIP";
    case ModuleKind::bert:
      return "BERT";
    case ModuleKind::distilbert:
      return "DistilBERT";
  }
  return "module";
}

ModuleKind kind_of(std::span<const std::string> own_names) {
  const auto has = [&](std::string_view name) { return std::ranges::find(own_names, name) != own_names.end(); };
  if (has("attnpool.q_proj.weight")) return ModuleKind::clip_resnet;
  if (has("class_embedding") && has("conv1.weight")) return ModuleKind::clip_vit;
  if (has("token_embedding.weight") && has("text_projection")) return ModuleKind::clip_text;
  if (has("blocks.0.attn.qkv.weight") && has("patch_embed.proj.weight")) return ModuleKind::vit;
  if (has("conv1.weight") && has("layer1.0.conv1.weight")) return ModuleKind::resnet;
  if (!has("embeddings.word_embeddings.weight")) return ModuleKind::other;
  if (has("encoder.layer.0.attention.self.query.weight")) return ModuleKind::bert;
  return has("transformer.layer.0.attention.q_lin.weight") ? ModuleKind::distilbert : ModuleKind::other;
}

std::vector<WeightFormat> formats_of(ModuleKind kind) {
  std::vector<WeightFormat> formats;
  for (const auto& naming : namings)
    if (naming.kind == kind) formats.push_back(naming.format);
  if (formats.empty()) formats.push_back(own);
  return formats;
}

KeyMap key_map(WeightFormat format, ModuleKind kind, std::span<const std::string> file_names) {
  const auto& naming = naming_of(format, kind);
  KeyMap map;
  map.format = format;
  for (const auto prefix : naming.prefixes) {
    if (map.prefix.empty() &&
        std::ranges::any_of(file_names, [&](const auto& name) { return name.starts_with(prefix); }))
      map.prefix = prefix;
  }
  const bool bare = map.prefix.empty();
  for (const auto& name : file_names) {
    const bool within = bare ? !naming.needs_prefix : name.starts_with(map.prefix);
    const auto seen = std::string_view{name}.substr(within ? map.prefix.size() : 0);
    if (within && (place(map, naming.rules, seen, name) || place(map, naming.more_rules, seen, name))) continue;
    if ((bare || !within) && place(map, naming.beside, name, name)) continue;
    const bool known = std::ranges::any_of(naming.unused, [&](auto pattern) { return matches(name, pattern); });
    (known ? map.unused : map.unknown).push_back(name);
  }
  return map;
}

Source named_as(WeightFormat format, ModuleKind kind, const std::string& own_name,
                std::span<const std::string> own_names) {
  const auto& naming = naming_of(format, kind);
  const bool with_head = std::ranges::any_of(naming.beside, [&](const Rule& rule) {
    return std::ranges::any_of(own_names, [&](const auto& name) { return matches(name, rule.ours); });
  });
  Source source;
  const auto look_in = [&](std::span<const Rule> rules, std::string_view prefix) {
    for (const auto& rule : rules) {
      if (rule.read_only) continue;
      const auto theirs = renamed(own_name, rule.ours, rule.theirs);
      if (!theirs || source.parts.size() > rule.part) continue;
      source.parts.push_back(std::string{prefix} + *theirs);
      source.transposed = rule.transposed;
      if (source.parts.size() == rule.parts) return true;
    }
    return false;
  };
  const auto prefix =
      with_head && !naming.written_prefix_with_head.empty() ? naming.written_prefix_with_head : naming.written_prefix;
  if (look_in(naming.rules, prefix) || look_in(naming.more_rules, prefix) || look_in(naming.beside, "")) return source;
  return {};
}

bool matches(std::string_view name, std::string_view pattern) {
  if (pattern.ends_with('*')) return name.starts_with(pattern.substr(0, pattern.size() - 1));
  return name == pattern;
}

}  // namespace sslmeme::detail
