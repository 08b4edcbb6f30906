# embed_configs(<target> <file>...)
#
# Adds to the target a source that holds the given files of configs/ and the version: app/embedded_configs.hpp.
function(embed_configs target)
  set(entries "")
  foreach(file IN LISTS ARGN)
    set(path ${PROJECT_SOURCE_DIR}/configs/${file})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
    file(READ ${path} text)
    string(APPEND entries "      {\"${file}\", R\"amend(${text})amend\"},\n")
  endforeach()
  set(source ${CMAKE_CURRENT_BINARY_DIR}/embedded_configs.cpp)
  file(GENERATE OUTPUT ${source} CONTENT "#include \"app/embedded_configs.hpp\"

namespace amend {

const std::vector<EmbeddedConfig>& embedded_configs() {
  static const std::vector<EmbeddedConfig> files{
${entries}  };
  return files;
}

const char* version() { return \"${PROJECT_VERSION}\"; }

}  // namespace amend
")
  target_sources(${target} PRIVATE ${source})
endfunction()
