// Several processes that train as one: how they find each other.
#pragma once

#include <sslmeme/core/process_group.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace sslmeme {

struct RankOptions {
  std::int64_t rank = 0, size = 1;
  std::int64_t local_rank = 0;         ///< among the processes on this machine: which of its GPUs is this one's
  std::string address = "127.0.0.1";   ///< of the machine of rank 0
  std::uint16_t port = 29500;          ///< on which rank 0 listens
  std::string interface_address = {};  ///< of this machine, for the others; empty: what its host name resolves to
  bool serve = true;                   ///< rank 0 runs the store on that port; false: somebody else does
  std::string scope = {};              ///< keeps runs apart that share a store
  std::chrono::milliseconds timeout = std::chrono::minutes{5};  ///< of each operation
};

/// What torchrun tells its processes: RANK, LOCAL_RANK (else RANK), WORLD_SIZE, MASTER_ADDR, MASTER_PORT,
/// TORCHELASTIC_USE_AGENT_STORE and TORCHELASTIC_RESTART_COUNT. Where MASTER_ADDR is this machine's loopback, ranks
/// talk over it. Nothing when WORLD_SIZE is not set; throws InvalidArgument when RANK or MASTER_PORT is
/// missing, or what should be a number is none.
std::optional<RankOptions> ranks_from_environment();

/// Waits until all ranks are there. CPU tensors travel over Gloo (TCP), those of other devices through the CPU. Throws
/// InvalidArgument for options that cannot be, Error when the others do not come, or where LibTorch was built without
/// Gloo.
std::shared_ptr<const ProcessGroup> connect_ranks(const RankOptions& options);

}  // namespace sslmeme
