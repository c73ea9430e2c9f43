// An exception with its place in front: what a file's or a sample's error is thrown again as.
#pragma once

#include <sslmeme/core/error.hpp>

#include <exception>
#include <string>

namespace sslmeme::detail {

/// Within a catch clause: throws what is being handled again, as the same class of Error, with the message
/// `named(what)`.
template <class Named>
[[noreturn]] void rethrow_named(const Named& named) {
  try {
    throw;
  } catch (const PictureError& error) {
    throw PictureError(error.fault(), named(error.what()));
  } catch (const DataError& error) {
    throw DataError(named(error.what()));
  } catch (const IoError& error) {
    throw IoError(named(error.what()));
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(named(error.what()));
  } catch (const NonFiniteError& error) {
    throw NonFiniteError(named(error.what()));
  } catch (const std::exception& error) {
    throw Error(named(error.what()));
  }
}

}  // namespace sslmeme::detail
