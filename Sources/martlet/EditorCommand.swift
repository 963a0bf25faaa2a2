import ArgumentParser
import Client
import Foundation

struct EditorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "editor",
        abstract: "Run programs from Vim and Neovim: install the plugin.",
        discussion: """
            The plugin runs the buffer with 'martlet run --json' and shows what it prints while it prints it \
            (':help martlet'). For other editors: docs/EDITORS.md says what it speaks.
            """,
        subcommands: [Install.self, Path.self])

    struct Install: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Copy the plugin to where Vim and Neovim find it by themselves.",
            discussion: """
                Without a flag for those of the two that are in PATH. An earlier copy is replaced. With a plugin \
                manager, give it the directory that 'martlet editor path' says instead.
                """)

        @Flag(help: "For Vim: ~/.vim/pack/martlet/start/martlet.") var vim = false
        @Flag(help: "For Neovim: ~/.local/share/nvim/site/pack/martlet/start/martlet.") var neovim = false

        func run() async throws {
            let plugin = try EditorPlugin.ofThisProgram()
            var editors = EditorPlugin.Editor.allCases.filter { $0 == .vim ? vim : neovim }
            if editors.isEmpty { editors = EditorPlugin.Editor.allCases.filter(\.isInstalled) }
            guard !editors.isEmpty else {
                throw ValidationError("Neither 'vim' nor 'nvim' is in PATH; say --vim or --neovim.")
            }
            for editor in editors {
                let path = try plugin.install(for: editor)
                try await printLine("\(editor.name): \(path)")
            }
            try await printLine("Open a program and say ':Martlet'; ':help martlet' tells more.")
        }
    }

    struct Path: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the plugin's directory, for plugin managers and 'runtimepath'.")

        func run() async throws { try await printLine(EditorPlugin.ofThisProgram().directory) }
    }
}
