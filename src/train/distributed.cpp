#include <sslmeme/train/distributed.hpp>

#include <sslmeme/core/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>

#ifdef SSLMEME_GLOO
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#endif

namespace sslmeme {
namespace {

const char* find_variable(const char* name) {
  return std::getenv(name);  // NOLINT(concurrency-mt-unsafe): read before ranks are connected
}

std::int64_t number_in(const char* name) {
  const auto* const text = find_variable(name);
  if (text == nullptr) throw InvalidArgument(fmt::format("WORLD_SIZE is set but {} is not: start with torchrun", name));
  const std::string_view digits{text};
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc{} || end != digits.data() + digits.size())
    throw InvalidArgument(fmt::format("{} is \"{}\"; it must be a whole number", name, text));
  return value;
}

}  // namespace

std::optional<RankOptions> ranks_from_environment() {
  if (find_variable("WORLD_SIZE") == nullptr) return std::nullopt;
  RankOptions options{.rank = number_in("RANK"), .size = number_in("WORLD_SIZE")};
  const auto port = number_in("MASTER_PORT");
  if (port < 1 || port > 65535) throw InvalidArgument(fmt::format("MASTER_PORT is {}; it must be in [1, 65535]", port));
  options.port = static_cast<std::uint16_t>(port);
  options.local_rank = find_variable("LOCAL_RANK") == nullptr ? options.rank : number_in("LOCAL_RANK");
  if (const auto* const address = find_variable("MASTER_ADDR")) options.address = address;
  if (options.address == "127.0.0.1" || options.address == "localhost") options.interface_address = "127.0.0.1";
  if (const auto* const agent = find_variable("TORCHELASTIC_USE_AGENT_STORE"))
    options.serve = std::string_view{agent} != "True";
  if (const auto* const restarts = find_variable("TORCHELASTIC_RESTART_COUNT")) options.scope = restarts;
  return options;
}

#ifdef SSLMEME_GLOO

namespace {

/// Runs `f`; what c10d or Gloo throw becomes an Error in one line.
template <class F>
auto in_our_words(const RankOptions& options, const char* what, F f) {
  try {
    return f();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    const std::string_view text{error.what()};
    const auto end = std::min(text.find('\n'), text.find(" This is typically"));  // Gloo's advice
    throw Error(fmt::format("rank {} of {}: {} failed: {}", options.rank, options.size, what, text.substr(0, end)));
  }
}

class GlooGroup final : public ProcessGroup {
 public:
  explicit GlooGroup(RankOptions options) : options_{std::move(options)} {
    in_our_words(options_, "to connect", [&] {
      c10d::TCPStoreOptions store_options;
      store_options.port = options_.port;
      store_options.isServer = options_.serve && options_.rank == 0;
      store_options.numWorkers = static_cast<std::size_t>(options_.size);
      store_options.waitWorkers = options_.serve;
      store_options.timeout = options_.timeout;
      const auto tcp = c10::make_intrusive<c10d::TCPStore>(options_.address, store_options);
      store_ = c10::make_intrusive<c10d::PrefixStore>("sslmeme/" + options_.scope, tcp);
      const auto gloo = c10d::ProcessGroupGloo::Options::create(options_.timeout);
      gloo->devices.push_back(options_.interface_address.empty()
                                  ? c10d::ProcessGroupGloo::createDefaultDevice()
                                  : c10d::ProcessGroupGloo::createDeviceForHostname(options_.interface_address));
      backend_ = c10::make_intrusive<c10d::ProcessGroupGloo>(store_, static_cast<int>(options_.rank),
                                                             static_cast<int>(options_.size), gloo);
    });
  }

  std::int64_t rank() const override { return options_.rank; }
  std::int64_t size() const override { return options_.size; }

  Tensor all_gather(const Tensor& x) const override {
    return in_our_words(options_, "all_gather", [&] {
      require_equal_shapes(x, "all_gather");
      return gather(x);
    });
  }

  Tensor all_reduce_sum(const Tensor& x) const override {
    return in_our_words(options_, "all_reduce_sum", [&] {
      require_equal_shapes(x, "all_reduce_sum");
      std::vector<Tensor> sum{x.to(torch::kCPU, x.scalar_type(), /*non_blocking=*/false, /*copy=*/true).contiguous()};
      backend_->allreduce(sum)->wait();
      return sum.front().to(x.device());
    });
  }

  Tensor reduce_scatter_sum(const Tensor& x) const override {
    if (x.dim() == 0 || x.size(0) % size() != 0) {
      throw InvalidArgument(
          fmt::format("reduce_scatter_sum: x is {}; its rows must divide into {} ranks", shape_string(x), size()));
    }
    return in_our_words(options_, "reduce_scatter_sum", [&] {
      require_equal_shapes(x, "reduce_scatter_sum");
      auto input = x.cpu().contiguous();
      auto shape = input.sizes().vec();
      shape.front() /= size();
      auto output = torch::empty(shape, input.options());
      backend_->_reduce_scatter_base(output, input)->wait();
      return output.to(x.device());
    });
  }

 private:
  Tensor gather(const Tensor& x) const {
    auto input = x.cpu().contiguous();
    auto shape = input.sizes().vec();
    shape.front() *= size();
    auto output = torch::empty(shape, input.options());
    backend_->_allgather_base(output, input)->wait();
    return output.to(x.device());
  }

  /// A rank with another shape would write beyond buffers or wait for ever.
  void require_equal_shapes(const Tensor& x, const char* what) const {
    constexpr std::int64_t most = 8;
    if (x.dim() > most) throw InvalidArgument(fmt::format("{}: x has {} dimensions; {} can be", what, x.dim(), most));
    if (x.dim() == 0 && std::string_view{what} != "all_reduce_sum")
      throw InvalidArgument(fmt::format("{}: x is 0-d; it must have rows", what));
    auto own = torch::full({1, most + 2}, -1, torch::kLong);
    own[0][0] = static_cast<std::int64_t>(x.scalar_type());
    own[0][1] = static_cast<std::int64_t>(what[4]);  // which operation: 'g', 'r', 'c'
    for (std::int64_t i = 0; i < x.dim(); ++i) own[0][2 + i] = x.size(i);
    const auto all = gather(own);
    for (std::int64_t r = 0; r < size(); ++r) {
      if (torch::equal(all[r], own[0])) continue;
      std::string shape;
      for (std::int64_t i = 2; i < most + 2 && all[r][i].item<std::int64_t>() >= 0; ++i)
        shape += fmt::format("{}{}", shape.empty() ? "" : ", ", all[r][i].item<std::int64_t>());
      throw InvalidArgument(
          fmt::format("{}: rank {} brings {} {}, rank {} ({}) of another type or for another operation: give all ranks "
                      "batches of one size",
                      what, rank(), toString(x.scalar_type()), shape_string(x), r, shape));
    }
  }

  RankOptions options_;
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> backend_;
};

}  // namespace

std::shared_ptr<const ProcessGroup> connect_ranks(const RankOptions& options) {
  if (options.size < 1 || options.rank < 0 || options.rank >= options.size) {
    throw InvalidArgument(
        fmt::format("connect_ranks: rank {} of {} ranks; ranks count from 0", options.rank, options.size));
  }
  if (options.timeout <= std::chrono::milliseconds::zero())
    throw InvalidArgument(fmt::format("connect_ranks: timeout is {} ms; it must be positive", options.timeout.count()));
  return std::make_shared<GlooGroup>(options);
}

#else

std::shared_ptr<const ProcessGroup> connect_ranks(const RankOptions& /*options*/) {
  throw Error("connect_ranks: this LibTorch was built without Gloo: use one that has ProcessGroupGloo.hpp");
}

#endif  // SSLMEME_GLOO

}  // namespace sslmeme
