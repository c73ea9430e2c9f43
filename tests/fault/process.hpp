// The trainee as a child process: started, listened to, killed.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace sslmeme::test {

class Trainee {
 public:
  /// Starts it; what it says on standard error goes to ours.
  explicit Trainee(const std::vector<std::string>& arguments) {
    int ends[2];
    if (::pipe(ends) != 0) throw std::system_error{errno, std::generic_category(), "pipe"};
    std::vector<const char*> argv{SSLMEME_TRAINEE};
    for (const auto& argument : arguments) argv.push_back(argument.c_str());
    argv.push_back(nullptr);
    process_ = ::fork();
    if (process_ < 0) throw std::system_error{errno, std::generic_category(), "fork"};
    if (process_ == 0) {  // only calls that are safe after fork()
      ::dup2(ends[1], STDOUT_FILENO);
      ::close(ends[0]);
      ::close(ends[1]);
      ::execv(argv[0], const_cast<char* const*>(argv.data()));  // which does not write to them
      ::_exit(127);
    }
    ::close(ends[1]);
    output_ = ::fdopen(ends[0], "r");
  }
  ~Trainee() {
    if (process_ > 0) {
      send(SIGKILL);
      wait();
    }
    std::fclose(output_);
  }
  Trainee(const Trainee&) = delete;
  Trainee& operator=(const Trainee&) = delete;

  /// The step that it just finished; nothing once its output has ended.
  std::optional<int> next_step() {
    int step = 0;
    if (std::fscanf(output_, " step %d", &step) != 1) return {};
    return step;
  }
  void send(int signal) const { ::kill(process_, signal); }

  struct End {
    int code = -1;      ///< of an exit
    int signal = 0;     ///< that killed it
    int last_step = 0;  ///< the last one that it told of
  };
  /// Reads its output to the end and waits for it.
  End wait() {
    End end;
    while (const auto step = next_step()) end.last_step = *step;
    int status = 0;
    while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) {
    }
    process_ = -1;
    if (WIFEXITED(status)) end.code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
    return end;
  }

 private:
  pid_t process_ = -1;
  std::FILE* output_ = nullptr;
};

inline Trainee::End run_trainee(const std::vector<std::string>& arguments) {
  return Trainee{arguments}.wait();
}

}  // namespace sslmeme::test
