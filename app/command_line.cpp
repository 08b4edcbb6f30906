#include "app/command_line.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <new>
#include <vector>

#include "app/command/commands.hpp"
#include "app/embedded_configs.hpp"
#include "engine/out_of_memory.hpp"
#include "metanet/data/config.hpp"
#include "metanet/train/progress.hpp"
#include "metanet/train/training_error.hpp"

namespace amend {
namespace {

constexpr char kProgramFooter[] = R"(Results go to stdout, messages to stderr; --json prints results for machines.
`amend COMMAND --help` has examples.

Exit codes:
  0  done
  1  internal failure, or a training whose loss stopped being finite; `amend demo`: the edit did not help
  2  mistake in the command line, a configuration or a file
  3  `amend audit`: a limit is not met
  130  interrupted; `amend editor train` keeps a checkpoint

Start with `amend demo`.)";

void build(CLI::App& app, Session& session) {
  app.name("amend");
  app.footer(kProgramFooter);
  app.set_help_flag("-h,--help", "Print this and exit");
  app.set_version_flag("--version", std::string("amend ") + version(), "Print the version and exit");
  app.require_subcommand(1);
  app.get_formatter()->column_width(36);
  add_demo_command(app, session);
  add_population_command(app, session);
  add_editor_command(app, session);
  add_edit_command(app, session);
  add_audit_command(app, session);
  add_compare_command(app, session);
  add_info_command(app, session);
  add_bench_command(app, session);
}

std::string full_name(const CLI::App& app) {
  const CLI::App* parent = app.get_parent();
  return parent ? full_name(*parent) + " " + app.get_name() : app.get_name();
}

/// Throws InputError about the first command or option that does not exist, naming the nearest. CLI11 would complain of
/// what is missing instead, and not guess.
void check_names(const CLI::App& app, int argc, const char* const* argv) {
  const CLI::App* command = &app;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--") return;
    const auto commands = command->get_subcommands([](const CLI::App*) { return true; });
    if (argument.starts_with("--") || (argument.size() == 2 && argument[0] == '-' && std::isalpha(argument[1]))) {
      const std::string name = argument.substr(0, argument.find('='));
      const CLI::Option* option = command->get_option_no_throw(name);
      if (option && option->get_expected_max() > 0 && name == argument) ++i;  // its value follows
      if (option) continue;
      std::vector<std::string> names;
      for (const CLI::Option* known : command->get_options())
        for (const std::string& text : known->get_lnames()) names.push_back("--" + text);
      fail_input("`" + full_name(*command) + "`", "unknown option `", name, "`; did you mean `",
                 nearest_name(name, names), "`?");
    }
    if (commands.empty()) continue;
    std::vector<std::string> names;
    const CLI::App* chosen = nullptr;
    for (const CLI::App* known : commands) {
      names.push_back(known->get_name());
      if (known->get_name() == argument) chosen = known;
    }
    if (!chosen)
      fail_input("`" + full_name(*command) + "`", "unknown command `", argument, "`; did you mean `",
                 nearest_name(argument, names), "`?");
    command = chosen;
  }
}

/// What may have been meant by arguments that no option takes: `--condition a=1 b=1`.
std::string hint(const CLI::App& command) {
  for (const std::string& extra : command.remaining())
    if (extra.find('=') != std::string::npos)
      return "; separate a list by commas, without spaces: name=value,name=value";
  return "";
}

int parse_and_act(int argc, const char* const* argv, Session& session) {
  CLI::App app(
      "Edits trained neural networks so that they meet requirements: fewer features, fewer weights, fairer "
      "answers.");
  build(app, session);
  check_names(app, argc, argv);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    app.exit(asked, session.out, session.err);
    return kSuccess;
  } catch (const CLI::ParseError& error) {
    const CLI::App* command = &app;
    while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
    session.say(error.what() + hint(*command) + "; see `" + full_name(*command) + " --help`");
    return kUserError;
  }
  return session.action();
}

int terminal_width() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 100;
}

}  // namespace

void Session::say(const std::string& message) const { err << "amend: " << message << std::endl; }

void Session::print(const nlohmann::ordered_json& json) const {
  // A path may hold bytes that are no UTF-8.
  out << json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
}

int run(int argc, const char* const* argv, std::ostream& out, std::ostream& err) {
  Session session{out, err};
  session.progress = &err == &std::cerr && stderr_is_terminal();
  if (&out == &std::cout && isatty(STDOUT_FILENO) == 1) {
    session.color = std::getenv("NO_COLOR") == nullptr;
    session.width = terminal_width();
  }
  try {
    int code = parse_and_act(argc, argv, session);
    out.flush();
    if (!out) {
      session.say("cannot write to standard output");
      code = kFailure;
    }
    return code;
  } catch (const InputError& error) {
    session.say(error.what());
    return kUserError;
  } catch (const TrainingError& error) {  // not a failure of the program
    session.say(error.what());
    return kFailure;
  } catch (const OutOfMemory& error) {
    session.say(error.what());
    return kFailure;
  } catch (const std::bad_alloc&) {
    session.say("out of memory");
    return kFailure;
  } catch (const std::exception& error) {
    session.say(std::string(error.what()) + " (an internal failure)");
    return kFailure;
  }
}

}  // namespace amend
