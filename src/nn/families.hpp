// The families of built-in backbones: what a name and the options of a call make of them.
#pragma once

#include <sslmeme/nn/backbone.hpp>

namespace sslmeme::detail {

void add_picture_families(BackboneRegistry& registry);
void add_text_families(BackboneRegistry& registry);
void add_clip_families(BackboneRegistry& registry);

/// An option as a call gave it, or the family's own where it is 0. Throws InvalidArgument, naming it, for a negative
/// one.
std::int64_t value_or(std::int64_t value, std::int64_t fallback, const char* name);

}  // namespace sslmeme::detail
