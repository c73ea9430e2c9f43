#include <sslmeme/nn/bert.hpp>

#include "nn/families.hpp"

namespace sslmeme::detail {
namespace {

BackboneRegistry::TextMaker maker(TextEncoder (*make)(const BertOptions&), BertOptions family) {
  return [make, family](const TextEncoderOptions& o) {
    auto options = family;
    options.vocabulary_size = value_or(o.vocabulary_size, family.vocabulary_size, "vocabulary_size");
    options.max_tokens = value_or(o.max_tokens, family.max_tokens, "max_tokens");
    options.width = value_or(o.width, family.width, "width");
    options.depth = value_or(o.depth, family.depth, "depth");
    options.mlp_width = options.width * (family.mlp_width / family.width);
    options.dropout = o.dropout.value_or(family.dropout);
    options.attention_dropout = o.attention_dropout;
    options.pooling = o.pooling.value_or(family.pooling);
    return make(options);
  };
}

}  // namespace

void add_text_families(BackboneRegistry& registry) {
  registry.add_text("bert_base", maker(make_bert, {}));
  registry.add_text("distilbert", maker(make_distilbert, {.depth = 6}));
  registry.add_text("minilm_l6",
                    maker(make_bert, {.width = 384, .depth = 6, .mlp_width = 1536, .pooling = Pooling::mean}));
}

}  // namespace sslmeme::detail
