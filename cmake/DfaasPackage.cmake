# SPDX-License-Identifier: AGPL-3.0-or-later
# What is installed where, and the Debian package made of it. Build the target package_files first: it lets the
# program write its own manual page and completions.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(packaging ${PROJECT_SOURCE_DIR}/packaging)
set(made ${PROJECT_BINARY_DIR}/package_files)
set(CPACK_PACKAGE_CONTACT "dfaas contributors <contributors@dfaas.invalid>")
string(TIMESTAMP built "%a, %d %b %Y %H:%M:%S +0000" UTC)  # SOURCE_DATE_EPOCH, if that is set.
configure_file(${packaging}/debian/changelog.in ${made}/changelog @ONLY)

set(shell_bash dfaas)
set(shell_zsh _dfaas)
set(shell_fish dfaas.fish)
set(completions)
foreach(shell IN ITEMS bash zsh fish)
  list(APPEND completions COMMAND dfaas completion ${shell} > ${made}/${shell}/${shell_${shell}})
endforeach()
add_custom_command(OUTPUT ${made}/dfaas.1.gz
  COMMAND ${CMAKE_COMMAND} -E make_directory ${made}/bash ${made}/zsh ${made}/fish
  ${completions}
  COMMAND ${Python3_EXECUTABLE} -B ${PROJECT_SOURCE_DIR}/tools/man-page --binary $<TARGET_FILE:dfaas> > ${made}/dfaas.1
  COMMAND gzip -9 -n -c ${PROJECT_SOURCE_DIR}/CHANGELOG.md > ${made}/CHANGELOG.md.gz
  COMMAND gzip -9 -n -c ${made}/changelog > ${made}/changelog.gz
  COMMAND gzip -9 -n -f ${made}/dfaas.1
  DEPENDS dfaas ${PROJECT_SOURCE_DIR}/tools/man-page ${PROJECT_SOURCE_DIR}/tools/cli-reference
          ${PROJECT_SOURCE_DIR}/CHANGELOG.md ${made}/changelog
  VERBATIM)
add_custom_target(package_files DEPENDS ${made}/dfaas.1.gz)

install(TARGETS dfaas DESTINATION bin)
install(TARGETS dfaas-launcher DESTINATION lib/dfaas)
install(PROGRAMS ${packaging}/first-start DESTINATION lib/dfaas)
install(FILES ${packaging}/dfaas.service DESTINATION lib/systemd/system)
install(FILES ${packaging}/dfaas.sysusers DESTINATION lib/sysusers.d RENAME dfaas.conf)
install(FILES ${packaging}/dfaas-launcher.apparmor DESTINATION share/dfaas)
install(FILES ${made}/dfaas.1.gz DESTINATION share/man/man1)
install(FILES ${made}/bash/dfaas DESTINATION share/bash-completion/completions)
install(FILES ${made}/zsh/_dfaas DESTINATION share/zsh/vendor-completions)
install(FILES ${made}/fish/dfaas.fish DESTINATION share/fish/vendor_completions.d)
install(FILES ${packaging}/debian/copyright ${made}/changelog.gz ${made}/CHANGELOG.md.gz DESTINATION share/doc/dfaas)
install(FILES ${packaging}/debian/lintian-overrides DESTINATION share/lintian/overrides RENAME dfaas)
install(FILES ${PROJECT_SOURCE_DIR}/config/front-door.cfg DESTINATION share/doc/dfaas/examples)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME dfaas)
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_SOURCE_DIR}/build/package)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE "")
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# sysusers makes the user; a container without systemd gets the small one.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "haproxy (>= 2.6), systemd-standalone-sysusers | systemd")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "skopeo, umoci")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "serf")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "functions on a federation of small nodes
A node serves functions over HTTP to its own users first. When it has no free
slot for one, that request goes to a neighbour that has, over mutual TLS.
There is no centre. The API is that of OpenFaaS.")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
  ${packaging}/debian/postinst ${packaging}/debian/prerm ${packaging}/debian/postrm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
