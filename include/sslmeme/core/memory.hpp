// Memory of a process that trains.
#pragma once

namespace sslmeme {

/// Keeps freed memory in the process, for the next step to use again, where the C library is glibc; elsewhere it does
/// nothing. By default large tensors go back to the system when they are freed, and the next step waits for new pages
/// to be zeroed: up to a sixth of the time of training on CPUs. The process then holds its peak to its end. Call it
/// once at the start of main(); it holds for the whole process.
void keep_freed_memory();

}  // namespace sslmeme
