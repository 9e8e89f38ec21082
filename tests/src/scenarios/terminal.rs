//! `-it`: a terminal as if the shell were here.

use crate::world::World;

super::scenarios![
    ctrl_c_interrupts_the_program_and_not_the_shell,
    the_window_size_follows_the_client,
    ctrl_d_leaves_the_shell_with_the_last_exit_code,
    the_detach_keys_leave_the_container_running,
];

fn ctrl_c_interrupts_the_program_and_not_the_shell(world: &World) {
    let mut shell = world.terminal(["run", "-it", "--rm", "alpine", "sh"]);
    shell.wait_for("#");
    shell.type_text("sh -c 'echo $((20 + 1)) sleeps; exec sleep 86400'\r");
    shell.wait_for("21 sleeps");
    shell.type_text("\x03");
    shell.wait_for("#");
    shell.type_text("echo still $((40 + 2))\r");
    shell.wait_for("still 42");
    shell.type_text("exit 4\r");
    assert_eq!(shell.finish().0, Some(4));
}

fn the_window_size_follows_the_client(world: &World) {
    let watch = "stty size; trap 'stty size' WINCH; echo watching; while :; do sleep 1; done";
    let mut program = world.terminal(["run", "-it", "--rm", "alpine", "sh", "-c", watch]);
    program.wait_for("24 80");
    program.wait_for("watching");
    program.resize(50, 132);
    program.wait_for("50 132");
    program.type_text("\x03");
    program.finish();
}

fn ctrl_d_leaves_the_shell_with_the_last_exit_code(world: &World) {
    let mut shell = world.terminal(["run", "-it", "--rm", "alpine", "sh"]);
    shell.wait_for("#");
    shell.type_text("(exit 6)\r");
    shell.wait_for("#");
    shell.type_text("\x04");
    assert_eq!(shell.finish().0, Some(6));
}

fn the_detach_keys_leave_the_container_running(world: &World) {
    let mut shell = world.terminal(["run", "-it", "--name", "left-alone", "alpine", "sh"]);
    shell.wait_for("#");
    shell.type_text("\x10\x11");
    let (code, screen) = shell.finish();
    assert_eq!(code, Some(0), "{screen}");
    assert_eq!(world.inspect("left-alone", "/State/Running"), true);
    world.ok(["rm", "-f", "left-alone"]);
}
