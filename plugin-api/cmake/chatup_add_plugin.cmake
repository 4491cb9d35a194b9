# chatup_add_plugin(name sources…): one shared object without a "lib" in front, that exports nothing
# but chatup_plugin_v1, brings all it uses, and can be unloaded. Into CHATUP_PLUGIN_DIR if that is set,
# else into the current build directory.
function(chatup_add_plugin name)
  add_library(${name} MODULE ${ARGN})
  set_target_properties(${name} PROPERTIES
    PREFIX "" SUFFIX .so C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden
    POSITION_INDEPENDENT_CODE ON)
  if(CHATUP_PLUGIN_DIR)
    set_target_properties(${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CHATUP_PLUGIN_DIR})
  endif()
  target_link_libraries(${name} PRIVATE chatup-plugin-api)
  # What C++ headers declare is visible whatever the flags say: the map hides that, too.
  set(map ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/chatup-plugin.map)
  target_link_options(${name} PRIVATE "LINKER:--version-script=${map}")
  set_property(TARGET ${name} APPEND PROPERTY LINK_DEPENDS ${map})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU") # its unique symbols would keep the library mapped for ever
    target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-gnu-unique>)
  endif()
  if(NOT CHATUP_SANITIZE) # the sanitizers' own functions are the program's
    target_link_options(${name} PRIVATE -Wl,-z,defs)
  endif()
endfunction()
