# Tesseract::libtesseract, which Debian ships without a CMake package. Installed beside sslmeme's own package file.
find_path(Tesseract_INCLUDE_DIR tesseract/baseapi.h)
find_library(Tesseract_LIBRARY tesseract)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Tesseract REQUIRED_VARS Tesseract_LIBRARY Tesseract_INCLUDE_DIR)
if(Tesseract_FOUND AND NOT TARGET Tesseract::libtesseract)
  add_library(Tesseract::libtesseract INTERFACE IMPORTED)
  # Forty libraries come with it: programs that read no words are not to load them.
  set(Tesseract_link "${Tesseract_LIBRARY}")
  if(UNIX AND NOT APPLE)
    set(Tesseract_link "-Wl,--push-state,--as-needed,${Tesseract_LIBRARY},--pop-state")
  endif()
  set_target_properties(Tesseract::libtesseract PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${Tesseract_INCLUDE_DIR}" INTERFACE_LINK_LIBRARIES "${Tesseract_link}")
endif()
