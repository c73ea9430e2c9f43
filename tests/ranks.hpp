// Runs a hidden test case of the present program in several processes that find each other as torchrun's do.
#pragma once

#include <fmt/format.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace sslmeme::test {

/// A TCP port of the loopback that is free now.
inline int free_port() {
  const int socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  if (socket_ < 0 || ::bind(socket_, any, size) != 0 || ::getsockname(socket_, any, &size) != 0)
    throw std::runtime_error("no free port");
  ::close(socket_);
  return ntohs(address.sin_port);
}

/// The exit codes of `ranks` processes that run the test case with this tag; what they print goes to this one's output.
inline std::vector<int> run_ranks(const std::string& tag, int ranks) {
  const auto port = free_port();
  std::vector<pid_t> children;
  for (int rank = 0; rank < ranks; ++rank) {
    std::vector<std::string> environment{fmt::format("RANK={}", rank), fmt::format("WORLD_SIZE={}", ranks),
                                         "MASTER_ADDR=127.0.0.1", fmt::format("MASTER_PORT={}", port),
                                         "OMP_NUM_THREADS=1"};
    for (char** variable = environ; *variable != nullptr; ++variable) environment.emplace_back(*variable);
    std::vector<std::string> arguments{"/proc/self/exe", tag};
    const auto pointers = [](std::vector<std::string>& strings) {
      std::vector<char*> all;
      for (auto& text : strings) all.push_back(text.data());
      all.push_back(nullptr);
      return all;
    };
    pid_t child = 0;
    if (posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, pointers(arguments).data(),
                    pointers(environment).data()) != 0)
      throw std::runtime_error("a rank could not be started");
    children.push_back(child);
  }
  std::vector<int> codes;
  for (const auto child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    codes.push_back(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  }
  return codes;
}

}  // namespace sslmeme::test
