// Backbones: networks that turn a picture or a text into one feature vector, made by name.
#pragma once

#include <sslmeme/core/tensor.hpp>

#include <torch/nn/module.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sslmeme {

/// How the tokens of a transformer become one vector.
enum class Pooling {
  mean,  ///< the mean of the patches (timm: "avg", which moves the last norm behind it; CLIP's norms before) or of the
         ///< real tokens of a text
  first  ///< the class token (timm: "token")
};

/// Options of image_encoder(). A zero means "as the name says"; setting one gives a smaller or larger member of the
/// family. The rates are timm's, by their names, and act in training alone.
struct ImageEncoderOptions {
  std::int64_t image_size =
      0;  ///< side of the square input in pixels (ViT: fixes the positions; ResNet: any size runs)
  std::int64_t patch_size = 0;   ///< ViT: side of a patch in pixels; image_size must be a multiple of it
  std::int64_t width = 0;        ///< ViT: embedding size; ResNet: channels of the stem (64 in the family)
  std::int64_t depth = 0;        ///< ViT: number of blocks; ResNet: blocks in each of the four stages
  std::int64_t num_classes = 0;  ///< timm's meaning: 0 gives pooled features, n > 0 the n logits of a linear classifier
  std::uint64_t seed = 0;        ///< of the initial weights
  bool dynamic_img_size = false;  ///< ViT: takes pictures of other sizes too, its positions interpolated (timm's name);
                                  ///< a ResNet always does
  std::optional<Pooling> pooling = {};  ///< ViT; unset: as the name says
  std::optional<double> norm_eps = {};  ///< timm's ViT: of every layer norm; unset: 1e-6 (Hugging Face's ViT has 1e-12)
  double drop_rate = 0;                 ///< dropout of the pooled features
  double pos_drop_rate = 0;             ///< timm's ViT: dropout of the tokens once they have their positions
  double proj_drop_rate = 0;            ///< ViT: dropout after attention's projection and within the MLP
  double attn_drop_rate = 0;            ///< ViT: dropout of attention weights
  double drop_path_rate = 0;   ///< stochastic depth: chance to leave out the last block, falling linearly to 0 at the
                               ///< first (Huang et al. 2016, arXiv:1603.09382)
  double patch_drop_rate = 0;  ///< ViT: share of the patches left out (FLIP: Li et al. 2022, arXiv:2212.00794)

  bool operator==(const ImageEncoderOptions&) const = default;
};

/// Options of text_encoder(). A zero, or an option left unset, means "as the name says".
struct TextEncoderOptions {
  std::int64_t vocabulary_size = 0;    ///< ids 0 … n − 1
  std::int64_t max_tokens = 0;         ///< longest text, special tokens included
  std::int64_t width = 0;              ///< hidden size; must be a multiple of the number of heads
  std::int64_t depth = 0;              ///< number of layers
  std::optional<double> dropout = {};  ///< after embeddings, attention's projection and MLP, when training (BERT: 0.1)
  std::optional<double> attention_dropout = {};  ///< of attention weights, when training; unset: `dropout`
  std::optional<Pooling> pooling = {};           ///< BERT and its kin
  std::uint64_t seed = 0;                        ///< of the initial weights

  bool operator==(const TextEncoderOptions&) const = default;
};

/// What encode() gives besides the features.
struct EncodeRequest {
  bool tokens = false;
  bool attention = false;
};

/// What encode() gives. L: tokens of a picture (class token, if any, first; then patches by rows) or of a text.
struct Encoded {
  Tensor features;  ///< (N, D), as forward() returns them
  Tensor tokens;    ///< (N, L, width): each token as the last layer leaves it, normed where the model norms
  std::vector<Tensor> attention;  ///< one for each layer, first to last: f32 (N, heads, L, L), rows sum to 1
};

/// What every backbone has in common. Modules keep the parameter names of timm (pictures), transformers (texts) and
/// open_clip (CLIP's towers).
class Backbone : public torch::nn::Module {
 public:
  /// D of the features that forward() returns.
  virtual std::int64_t feature_dim() const = 0;
  /// A JSON object {"modality", "name", "options"} from which encoder_from_json() makes the same architecture again.
  const std::string& description() const { return description_; }
  void set_description(std::string json) { description_ = std::move(json); }
  /// Blocks keep only their input and are computed again for the gradient: about a third slower, and memory grows with
  /// the largest block instead of with all (timm's name; see checkpointed()). The built-in backbones heed it, but where
  /// encode() is asked for attention maps.
  void set_grad_checkpointing(bool enable = true) { grad_checkpointing_ = enable; }
  bool grad_checkpointing() const { return grad_checkpointing_; }

  /// Parameters, besides biases, norms and others of fewer than two dimensions, that weight decay leaves alone (timm's
  /// no_weight_decay()), by the names that this module gives them.
  virtual std::vector<std::string> no_decay() const { return {}; }
  /// `stored`, which a file has under `name`, made to fit this model where that has a meaning: positions of a ViT for
  /// another image size, interpolated as timm does. Undefined where it has none.
  virtual Tensor resampled(const std::string& name, const Tensor& stored) const;

 private:
  std::string description_;
  bool grad_checkpointing_ = false;
};

class ImageBackbone : public Backbone {
 public:
  /// images: f32 (N, 3, H, W), normalised. Returns features (N, D).
  virtual Tensor forward(const Tensor& images) = 0;
  /// As forward(), with tokens and attention maps where asked for. Throws InvalidArgument for what a backbone lacks: a
  /// ResNet has no attention, a backbone of one's own only what it overrides this for.
  virtual Encoded encode(const Tensor& images, const EncodeRequest& request);
  /// Side in pixels of the square pictures that it is made for; a ResNet takes others too.
  virtual std::int64_t image_size() const { return 224; }
};

class TextBackbone : public Backbone {
 public:
  /// tokens: i64 (N, L); mask: bool (N, L), true on real tokens. Returns features (N, D).
  virtual Tensor forward(const Tensor& tokens, const Tensor& mask) = 0;
  /// As forward(), with tokens and attention maps where asked for; InvalidArgument for what a backbone lacks.
  virtual Encoded encode(const Tensor& tokens, const Tensor& mask, const EncodeRequest& request);
  /// The longest text in tokens that it takes.
  virtual std::int64_t max_tokens() const { return 512; }
};

using ImageEncoder = std::shared_ptr<ImageBackbone>;
using TextEncoder = std::shared_ptr<TextBackbone>;

/// Makers of backbones by name. A plain value: copy the built-in one and add your own.
///
///     auto registry = sm::BackboneRegistry::built_in();
///     registry.add_image("my_net", [](const sm::ImageEncoderOptions& o) { return std::make_shared<MyNet>(o); });
///     auto encoder = sm::image_encoder("my_net", {}, registry);
class BackboneRegistry {
 public:
  using ImageMaker = std::function<ImageEncoder(const ImageEncoderOptions&)>;
  using TextMaker = std::function<TextEncoder(const TextEncoderOptions&)>;

  /// Pictures, by timm's names: resnet{18,34,50,101}, vit_{tiny,small,base}_patch16_{224,384},
  /// vit_base_patch32_{224,384}. Texts: bert_base, distilbert, minilm_l6.
  /// Both towers of CLIP by open_clip's names: {ViT-B-16,ViT-B-32,RN50}, each with and without "-quickgelu".
  static BackboneRegistry built_in();

  /// Adds a maker; a name that is there already is an InvalidArgument.
  void add_image(std::string name, ImageMaker maker);
  void add_text(std::string name, TextMaker maker);

  std::vector<std::string> image_names() const;
  std::vector<std::string> text_names() const;

  /// Throws InvalidArgument, with the nearest names, for a name that nobody added.
  ImageEncoder make_image(const std::string& name, const ImageEncoderOptions& options) const;
  TextEncoder make_text(const std::string& name, const TextEncoderOptions& options) const;

 private:
  std::map<std::string, ImageMaker> image_;
  std::map<std::string, TextMaker> text_;
};

/// A picture encoder by its name, with fresh weights drawn from options.seed.
///
///     auto vit = sm::image_encoder("vit_small_patch16_224", {.image_size = 384});
ImageEncoder image_encoder(const std::string& name, const ImageEncoderOptions& options = {},
                           const BackboneRegistry& registry = BackboneRegistry::built_in());

/// A text encoder by its name, with fresh weights drawn from options.seed.
TextEncoder text_encoder(const std::string& name, const TextEncoderOptions& options = {},
                         const BackboneRegistry& registry = BackboneRegistry::built_in());

/// The same architecture again from Backbone::description(), with fresh weights. Throws DataError for other JSON.
ImageEncoder image_encoder_from_json(std::string_view json,
                                     const BackboneRegistry& registry = BackboneRegistry::built_in());
TextEncoder text_encoder_from_json(std::string_view json,
                                   const BackboneRegistry& registry = BackboneRegistry::built_in());

}  // namespace sslmeme
