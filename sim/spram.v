// The single-ported RAM of iCE40 UltraPlus, as Lattice's technology library describes it, without
// its power-down modes. What was never written is random to nobody: it reads as all ones here.
module SB_SPRAM256KA (
    input [13:0] ADDRESS,
    input [15:0] DATAIN,
    input [3:0] MASKWREN,
    input WREN, CHIPSELECT, CLOCK, STANDBY, SLEEP, POWEROFF,
    output reg [15:0] DATAOUT
);
    reg [15:0] words [0:16383];
    wire [15:0] mask = {{4{MASKWREN[3]}}, {4{MASKWREN[2]}}, {4{MASKWREN[1]}}, {4{MASKWREN[0]}}};
    integer place;

    initial for (place = 0; place < 16384; place = place + 1) words[place] = 16'hffff;

    always @(posedge CLOCK)
        if (CHIPSELECT && WREN) begin
            words[ADDRESS] <= (words[ADDRESS] & ~mask) | (DATAIN & mask);
            DATAOUT <= 16'hdead;  // undefined on the chip
        end else if (CHIPSELECT)
            DATAOUT <= words[ADDRESS];
endmodule
