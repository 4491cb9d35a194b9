# cmake -DOUT=file.h -DDIR=plugin-api/template -P embed.cmake: the templates as C strings.
set(text "/* Made by embed.cmake: do not edit. */\n")
foreach(pair plugin_c:plugin.c plugin_cpp:plugin.cpp cmake_c:CMakeLists_c.txt cmake_cpp:CMakeLists_cpp.txt
        test_c:test.c readme:README.md)
  string(REPLACE ":" ";" pair ${pair})
  list(GET pair 0 name)
  list(GET pair 1 file)
  file(READ ${DIR}/${file} content HEX)
  string(REGEX REPLACE "(..)" "0x\\1," content "${content}")
  string(APPEND text "static const char template_${name}[] = {${content}0};\n")
endforeach()
file(WRITE ${OUT} "${text}")
