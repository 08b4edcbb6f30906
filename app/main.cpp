#include <iostream>

#include "app/command_line.hpp"

int main(int argc, char** argv) { return amend::run(argc, argv, std::cout, std::cerr); }
