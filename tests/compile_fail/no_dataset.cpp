// must fail with: sslmeme: this type is no Dataset: it needs `size() const` and `Sample get(std::size_t) const`
#include <sslmeme/data/loader.hpp>

namespace sm = sslmeme;

struct BlackPictures {
  std::size_t size() const { return 8; }
#ifdef MISTAKE
  sm::Image get(std::size_t /*i*/) const { return sm::Image{32, 32}; }
#else
  sm::Sample get(std::size_t i) const {
    return {.picture = sm::Image{32, 32}, .text = "", .label = {}, .id = static_cast<std::int64_t>(i)};
  }
#endif
};

sm::DataLoader loader() {
  return {BlackPictures{}, sm::eval_views({.size = 32})};
}
